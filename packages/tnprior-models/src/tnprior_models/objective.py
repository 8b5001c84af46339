"""What a model wants minimised: a loss, the parameters it moves, their optimiser, how often."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor
from torch.optim import Optimizer

from tnprior_models.errors import ModelError

__all__ = ["Batch", "Objective"]

Batch: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""`x` float in [0, 1] (B, C, H, W), `codes` int64 (B, A), `observed` bool (B, A)."""


@dataclass(frozen=True)
class Objective:
    """One loss and everything a training loop needs to minimise it.

    A variational autoencoder declares one objective, a model with an adversary two, a GAN with a
    learned prior three; the loop treats them alike, in the order in which the model lists them.

    Args:
        name: identifies the objective in logs and checkpoints.
        parameters: what `optimizer` accepts: tensors, or groups such as `{"params": [...], "lr": 1e-3}`.
        loss: batch -> named scalar terms; `"loss"` is minimised, the others are logged.
        optimizer: builds the optimiser from `list(parameters)`.
        every: the objective is stepped at every `every`-th iteration (1 = always).
        begin: called before an update with the number of those before it, for what depends on it (a weight that
            rises); not called for validation.

    Raises:
        ModelError: an empty name, no parameters, or `every` below 1.

    >>> import torch
    >>> w = torch.nn.Parameter(torch.ones(()))
    >>> fit = Objective(
    ...     "fit", [w], lambda batch: {"loss": w**2}, lambda groups: torch.optim.SGD(groups, lr=0.5)
    ... )
    >>> optimizer = fit.build_optimizer()
    >>> fit.loss(())["loss"].backward()
    >>> optimizer.step()
    >>> w.item()
    0.0
    """

    name: str
    parameters: Sequence[Tensor] | Sequence[Mapping[str, Any]]
    loss: Callable[[Batch], Mapping[str, Tensor]]
    optimizer: Callable[[list[Any]], Optimizer]
    every: int = 1
    begin: Callable[[int], None] | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ModelError("expected an objective with a name, received an empty one")
        if not any(True for _ in self.tensors()):
            raise ModelError(f"objective {self.name!r}: expected at least one parameter, received none")
        if self.every < 1:
            raise ModelError(f"objective {self.name!r}: expected every >= 1, received {self.every}")

    def tensors(self) -> Iterator[Tensor]:
        """Every parameter tensor, whatever group it is in (for gradient clipping and freezing)."""
        for entry in self.parameters:
            if isinstance(entry, Tensor):
                yield entry
            else:
                yield from entry["params"]

    def build_optimizer(self) -> Optimizer:
        """A new optimiser over the parameters (its state is empty)."""
        groups = [entry if isinstance(entry, Tensor) else dict(entry) for entry in self.parameters]
        return self.optimizer(groups)
