"""Exponential moving average of a model's weights."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def warmed_decay(decay: float, updates: int) -> float:
    """`min(decay, (1 + updates) / (10 + updates))`: a young average forgets the initial weights quickly.

    >>> [round(warmed_decay(0.99, n), 3) for n in (1, 10, 10_000)]
    [0.182, 0.55, 0.99]
    """
    return min(decay, (1 + updates) / (10 + updates))


def exponential_average(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of `model`; after update t it holds `a <- d a + (1 - d) w` with `d = warmed_decay(decay, t)`.

    The first update copies. Buffers are averaged too; those that are not floating point (counters, orders of
    variables) are copied, because an average of integers is rounded to something that never was.

    >>> layer = nn.Linear(1, 1)
    >>> average = exponential_average(layer, 0.999)
    >>> average.update_parameters(layer)
    >>> torch.equal(average.module.weight, layer.weight)
    True
    """

    @torch.no_grad()
    def update(averages: Sequence[Tensor], weights: Sequence[Tensor], _: Any) -> None:
        if averages[0].is_floating_point():
            d = warmed_decay(decay, int(averaged.n_averaged))
            torch._foreach_lerp_(tuple(averages), tuple(weights), 1 - d)
        else:
            torch._foreach_copy_(tuple(averages), tuple(weights))

    averaged = AveragedModel(model, multi_avg_fn=update, use_buffers=True)
    averaged.eval()
    return averaged
