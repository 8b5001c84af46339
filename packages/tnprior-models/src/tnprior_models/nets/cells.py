"""Codes that are grids: which number of a code belongs to which cell, and the way from cell to cell."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tnprior_models.errors import ModelError
from tnprior_models.nets.pyramid import Pyramid

__all__ = ["Cells", "closed_walk"]


class Cells(nn.Module):
    """A code (B, d) as a grid (B, d / cells, H, W) and back, where neighbours in the code are neighbours in the image.

    The numbers of a cell follow each other, and cells follow `closed_walk`: a chain or ring of sites in this order
    links what is close, so that few bond indices carry what a part of the image says of the next.

    Args:
        pyramid: its last grid has the cells.
        latent_size: d, a multiple of their number.

    Raises:
        ModelError: d is no such multiple.

    >>> cells = Cells(Pyramid((1, 28, 28), width=8), latent_size=32)
    >>> cells.shape, cells.to_grid(torch.zeros(5, 32)).shape
    ((2, 4, 4), torch.Size([5, 2, 4, 4]))
    """

    there: Tensor
    back: Tensor

    def __init__(self, pyramid: Pyramid, latent_size: int) -> None:
        super().__init__()
        height, width = pyramid.sizes[-1]
        count = height * width
        if latent_size < count or latent_size % count:
            raise ModelError(
                f"expected a multiple of {count} latents, as many for each of {height} x {width} cells, "
                f"received {latent_size}"
            )
        self.shape = (latent_size // count, height, width)
        walk = [row * width + column for row, column in closed_walk(height, width)]
        places = [cell + count * channel for cell in walk for channel in range(self.shape[0])]
        there = torch.tensor(places, device="cpu").to(torch.get_default_device())
        self.register_buffer("there", there, persistent=False)
        self.register_buffer("back", there.argsort(), persistent=False)

    def to_code(self, grid: Float[Tensor, "B channels H W"]) -> Float[Tensor, "B d"]:
        """The numbers of a grid, cell by cell."""
        return grid.flatten(1)[:, self.there]

    def to_grid(self, code: Float[Tensor, "B d"]) -> Float[Tensor, "B channels H W"]:
        """The inverse of `to_code`."""
        grid: Tensor = code[:, self.back].unflatten(1, self.shape)
        return grid


def closed_walk(height: int, width: int) -> list[tuple[int, int]]:
    """All cells of a grid, each beside the one before, and the last beside the first where a side is even.

    Right along the first row, to and fro through the others but for their first column, and up that column. Where
    both sides are odd no closed walk exists: rows to and fro, which ends in the far corner.

    >>> closed_walk(2, 3)
    [(0, 0), (0, 1), (0, 2), (1, 2), (1, 1), (1, 0)]
    >>> closed_walk(3, 1)
    [(0, 0), (1, 0), (2, 0)]
    """
    if height % 2 and width % 2 == 0:
        return [(row, column) for column, row in closed_walk(width, height)]
    first = 1 if height % 2 == 0 and width > 1 else 0
    walk = [(0, 0)] * first
    for row in range(height):
        columns = range(first, width)
        walk += [(row, column) for column in (columns if row % 2 == 0 else reversed(columns))]
    return walk + [(row, 0) for row in range(height - 1, 0, -1)] * first
