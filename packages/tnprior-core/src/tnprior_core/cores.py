"""From raw parameters to non-negative cores, and the noise they start from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from tnprior_core.seeded import seeded_normal

__all__ = ["Exp", "Positivity", "Softplus", "Square", "noise_cores"]


class Positivity(Protocol):
    """A map from raw parameters to non-negative numbers, and back."""

    def forward(self, raw: Tensor) -> Tensor:
        """Map raw parameters to entries of a core."""
        ...

    def inverse(self, entry: Tensor) -> Tensor:
        """Map positive entries of a core to raw parameters."""
        ...


@dataclass(frozen=True)
class Exp:
    """`Q = exp(raw)`: every entry moves by a factor, so Adam's step is the same for large and small ones.

    >>> Exp().inverse(Exp().forward(torch.tensor([0.5])))
    tensor([0.5000])
    """

    def forward(self, raw: Tensor) -> Tensor:
        """Return exp(raw)."""
        return raw.exp()

    def inverse(self, entry: Tensor) -> Tensor:
        """Return log(entry), the smallest normal number standing for zero."""
        return entry.clamp_min(torch.finfo(entry.dtype).tiny).log()


@dataclass(frozen=True)
class Softplus:
    """`Q = log(1 + exp(raw))`.

    >>> Softplus().inverse(Softplus().forward(torch.tensor([0.5])))
    tensor([0.5000])
    """

    def forward(self, raw: Tensor) -> Tensor:
        """Return softplus(raw)."""
        return torch.nn.functional.softplus(raw)

    def inverse(self, entry: Tensor) -> Tensor:
        """Return log(exp(entry) - 1), accurate for tiny entries."""
        entry = entry.clamp_min(torch.finfo(entry.dtype).tiny)
        return entry + torch.log(-torch.expm1(-entry))


@dataclass(frozen=True)
class Square:
    """`Q = raw^2`, as in the published code; the gradient vanishes at zero.

    >>> Square().inverse(torch.tensor([4.0]))
    tensor([2.])
    """

    def forward(self, raw: Tensor) -> Tensor:
        """Return raw^2."""
        return raw.square()

    def inverse(self, entry: Tensor) -> Tensor:
        """Return the non-negative root."""
        return entry.sqrt()


def noise_cores(
    shape: tuple[int, int, int, int], generator: torch.Generator, *, spread: float = 0.3
) -> Tensor:
    """Return cores (G, N, m, m') of entries `exp(spread * noise) / (N m)`.

    The scale makes the normaliser about one; the noise is not optional: from equal entries every gradient
    step keeps them equal, and the distribution would factorise for ever.

    >>> noise_cores((1, 2, 3, 3), torch.Generator().manual_seed(0)).shape
    torch.Size([1, 2, 3, 3])
    """
    noise = seeded_normal(*shape, generator=generator)
    return (spread * noise - math.log(shape[1] * shape[2])).exp()
