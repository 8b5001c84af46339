"""What one dimension of an image is, so that nats become comparable bits per dimension."""

import math
from dataclasses import dataclass
from typing import Protocol as Interface
from typing import runtime_checkable

from torch import Tensor


@runtime_checkable
class PixelConvention(Interface):
    """Turns log-likelihoods of whole images, in nats, into bits per dimension."""

    @property
    def dimensions(self) -> int:
        """Number D of dimensions: channels x height x width."""

    @property
    def convention(self) -> str:
        """What the bits mean, for the protocol."""

    def bits_per_dimension(self, nats: Tensor) -> Tensor:
        """Same shape as `nats`."""


@dataclass(frozen=True)
class DiscretePixels:
    r"""The likelihood is a probability of discrete pixels (Bernoulli, categorical): $-L / (D \log 2)$.

    >>> import torch
    >>> round(float(DiscretePixels(784).bits_per_dimension(torch.tensor(-784 * math.log(2)))), 6)
    1.0
    """

    dimensions: int

    @property
    def convention(self) -> str:
        """What the bits mean."""
        return "discrete pixels, -L/(D log 2)"

    def bits_per_dimension(self, nats: Tensor) -> Tensor:
        """Same shape as `nats`."""
        return -nats.double() / (self.dimensions * math.log(2))


@dataclass(frozen=True)
class ContinuousPixels:
    r"""The likelihood is a density of pixels in [0, 1] that stand for `levels` integers.

    $-(L - D \log \text{levels}) / (D \log 2)$: the density of the integers is `levels`$^{-D}$ times that of
    the scaled pixels. A bound on the probability of the integers only where uniform noise was added to them
    (Theis et al. 2016, section 3.1); without, densities can be arbitrarily high and the number is only a
    rescaling.

    >>> import torch
    >>> float(ContinuousPixels(784).bits_per_dimension(torch.tensor(0.0)))
    8.0
    """

    dimensions: int
    levels: int = 256

    @property
    def convention(self) -> str:
        """What the bits mean."""
        return f"density on [0, 1] scaled by {self.levels} levels, -(L - D log {self.levels})/(D log 2)"

    def bits_per_dimension(self, nats: Tensor) -> Tensor:
        """Same shape as `nats`."""
        return -(nats.double() / self.dimensions - math.log(self.levels)) / math.log(2)
