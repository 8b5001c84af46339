"""Validation: the mean of every loss term over held-out examples, exact for any number of processes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tnprior_models.training.data import TensorData
from tnprior_models.training.distributed import Group
from tnprior_models.training.learner import objectives_of
from tnprior_models.training.order import batch_count, bounds, derive_seed
from tnprior_models.training.streams import isolated


def mean_terms(
    model: nn.Module, data: TensorData, batch_size: int, seed: int, group: Group, device: torch.device
) -> dict[str, float]:
    """The means over `data` of the terms of all objectives, by `objective/term`, without gradients.

    The noise is the same at every call, so that two epochs are compared and not two draws. A loss that
    itself needs gradients (a gradient penalty) cannot be computed here: give the trainer an `evaluate`.
    """
    sums: dict[str, Tensor] = {}
    objectives = objectives_of(model)
    with evaluating(model), isolated(derive_seed("validation", seed, group.rank), device), torch.no_grad():
        for start, stop in bounds(len(data), batch_count(len(data), batch_size)):
            first, last = bounds(stop - start, group.world)[group.rank]
            shown = max(last, first + 1)  # without a share: any example with weight 0, for the names' sake
            batch = data.batch(torch.arange(start + first, start + shown, device="cpu") % len(data), device)
            for objective in objectives:
                for name, value in objective.loss(batch).items():
                    key = f"{objective.name}/{name}"
                    term = value.double() * (last - first)
                    sums[key] = sums[key] + term if key in sums else term
    return _reduced({name: float(value) for name, value in sums.items()}, len(data), group)


def _reduced(sums: dict[str, float], count: int, group: Group) -> dict[str, float]:
    names = sorted(sums)
    totals = group.total([sums[name] for name in names])
    return {name: total / count for name, total in zip(names, totals, strict=True)}


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Inside, the model is in evaluation mode; afterwards every submodule is in the mode it was in."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
