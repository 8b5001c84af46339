"""The sizes of a stack of convolutions: where it halves the image and how wide each layer is."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from torch import nn

from tnprior_models.errors import ModelError

__all__ = ["CONVOLUTIONS", "GRID", "Normalization", "Pyramid"]

Normalization = Literal["groups", "layer"]
"""Over groups of about eight channels where their number allows it, or over all channels together."""

CONVOLUTIONS = 6
GRID = 4
"""The shorter side that the last grid has at least, unless told otherwise."""
WIDEST = 4


@dataclass(frozen=True)
class Pyramid:
    """Six convolutions from an image down to a grid of about 4x4, shared by encoder and decoder.

    The image is halved (rounding up) as long as its shorter side stays at `grid` or more, six times at
    most, and as early as the even spread over the six layers allows: work falls with the square of
    the size. The number of channels doubles with every halving, up to four times `width`.

    Args:
        image_shape: (channels, height, width); 1 or 3 channels, at least 8 pixels a side.
        width: channels of the first convolution.
        grid: shorter side that the last grid has at least.

    Raises:
        ModelError: an image, a width or a grid that the stack cannot serve.

    >>> p = Pyramid((1, 28, 28), width=32)
    >>> p.strides
    (2, 1, 2, 1, 2, 1)
    >>> p.channels
    (1, 32, 32, 64, 64, 128, 128)
    >>> p.sizes
    ((28, 28), (14, 14), (14, 14), (7, 7), (7, 7), (4, 4), (4, 4))
    >>> Pyramid((1, 28, 28), width=32, grid=7).sizes[-1]
    (7, 7)
    """

    image_shape: tuple[int, ...]
    width: int
    grid: int = GRID

    def __post_init__(self) -> None:
        if len(self.image_shape) != 3 or self.image_shape[0] not in (1, 3) or min(self.image_shape[1:]) < 8:
            raise ModelError(
                "expected an image shape (C, H, W) with 1 or 3 channels and sides of at least 8 pixels, "
                f"received {tuple(self.image_shape)}"
            )
        if self.width < 1:
            raise ModelError(f"expected a width of at least 1 channel, received {self.width}")
        if self.grid < 1:
            raise ModelError(f"expected a grid of at least 1 cell a side, received {self.grid}")

    @property
    def halvings(self) -> int:
        """How many of the six convolutions have stride 2."""
        side, count = min(self.image_shape[1:]), 0
        while (side + 1) // 2 >= self.grid and count < CONVOLUTIONS:
            side, count = (side + 1) // 2, count + 1
        return count

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride of each convolution, first to last."""
        reached = [-(-i * self.halvings // CONVOLUTIONS) for i in range(CONVOLUTIONS + 1)]
        return tuple(1 + after - before for before, after in pairwise(reached))

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels before the first and after each convolution."""
        level, channels = 0, [self.image_shape[0]]
        for stride in self.strides:
            level += stride - 1
            channels.append(self.width * min(2 ** max(level - 1, 0), WIDEST))
        return tuple(channels)

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) before the first and after each convolution."""
        sizes = [(self.image_shape[1], self.image_shape[2])]
        for stride in self.strides:
            height, width = sizes[-1]
            sizes.append((-(-height // stride), -(-width // stride)))
        return tuple(sizes)

    @property
    def features(self) -> int:
        """Number of features of the last grid, flattened."""
        height, width = self.sizes[-1]
        return self.channels[-1] * height * width

    def unflatten(self) -> nn.Unflatten:
        """Those features (B, F) as the last grid."""
        return nn.Unflatten(1, (self.channels[-1], *self.sizes[-1]))


def group_count(channels: int, normalization: Normalization = "groups") -> int:
    """Groups of a group normalisation: about eight channels each, always a divisor of `channels`; or one of all.

    >>> group_count(64), group_count(12), group_count(7), group_count(64, "layer")
    (8, 1, 1, 1)
    """
    return channels // 8 if normalization == "groups" and channels % 8 == 0 else 1
