"""The dense layers of an encoder and a decoder whose codes are grids: the same for every cell."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tnprior_models.nets.cells import Cells
from tnprior_models.nets.pyramid import Normalization, Pyramid, group_count

__all__ = ["CellsToCode", "CodeToCells"]


class CellsToCode(nn.Module):
    """Features (B, F) of the last grid -> mean and log standard deviation (B, 2 d) of the code.

    Two dense layers with SiLU between them see one cell at a time, and where it is (a bias of each cell).

    Args:
        pyramid: whose last grid has the cells.
        latent_size: d, a multiple of the number of cells.
        hidden: units of the first layer.

    Raises:
        ModelError: d is no such multiple.

    >>> pyramid = Pyramid((1, 28, 28), width=8)
    >>> CellsToCode(pyramid, 16, hidden=6)(torch.zeros(2, pyramid.features)).shape
    torch.Size([2, 32])
    """

    def __init__(self, pyramid: Pyramid, latent_size: int, *, hidden: int) -> None:
        super().__init__()
        self.cells = Cells(pyramid, latent_size)
        self.unflatten = pyramid.unflatten()
        self.first = nn.Conv2d(pyramid.channels[-1], hidden, 1)
        self.place = nn.Parameter(torch.zeros(hidden, *pyramid.sizes[-1]))
        self.last = nn.Sequential(nn.SiLU(), nn.Conv2d(hidden, 2 * self.cells.shape[0], 1))

    def forward(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B twice_d"]:
        """Means, then log standard deviations."""
        grids = self.last(self.first(self.unflatten(features)) + self.place).chunk(2, dim=1)
        return torch.cat([self.cells.to_code(grid) for grid in grids], dim=1)


class CodeToCells(nn.Module):
    """Codes (B, d) -> features (B, F) of the last grid, the mirror of `CellsToCode`.

    The first layer sees a cell with its eight neighbours, and where it is; the second is normalised as the
    convolutions are. Arguments as there.

    >>> pyramid = Pyramid((1, 28, 28), width=8)
    >>> CodeToCells(pyramid, 16, hidden=6)(torch.zeros(2, 16)).shape == (2, pyramid.features)
    True
    """

    def __init__(
        self, pyramid: Pyramid, latent_size: int, *, hidden: int, normalization: Normalization = "groups"
    ) -> None:
        super().__init__()
        channels = pyramid.channels[-1]
        self.cells = Cells(pyramid, latent_size)
        self.first = nn.Conv2d(self.cells.shape[0], hidden, 3, padding=1)
        self.place = nn.Parameter(torch.zeros(hidden, *pyramid.sizes[-1]))
        self.last = nn.Sequential(
            nn.SiLU(),
            nn.Conv2d(hidden, channels, 1),
            nn.GroupNorm(group_count(channels, normalization), channels),
            nn.SiLU(),
        )

    def forward(self, code: Float[Tensor, "B d"]) -> Float[Tensor, "B F"]:
        """The features, flattened."""
        features: Tensor = self.last(self.first(self.cells.to_grid(code)) + self.place)
        return features.flatten(1)
