"""Pictures of what the model draws, epoch after epoch, from the same noise."""

from collections.abc import Callable
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor, nn

from tnprior_models.errors import ModelError
from tnprior_models.training.evaluation import evaluating
from tnprior_models.training.order import derive_seed
from tnprior_models.training.run import Callback, Run
from tnprior_models.training.streams import isolated


class SampleGrids(Callback):
    """Draws with the same noise after every so many epochs and hands the grid to `write`.

    Args:
        draw: from the model to images in [0, 1], (n, C, H, W). It finds the random streams in the same
            state at every call.
        write: from a path and a grid (C, height, width) to a file; the library itself knows no picture format.
        every: epochs between two grids.
        columns: images per row of the grid.
        suffix: ending of the file names, `samples/epoch-0001.png` and so on in the run directory.

    Raises:
        ModelError: `every` or `columns` below 1.
    """

    def __init__(
        self,
        draw: Callable[[nn.Module], Tensor],
        write: Callable[[Path, Tensor], None],
        *,
        every: int = 1,
        columns: int = 8,
        suffix: str = ".png",
    ) -> None:
        if every < 1 or columns < 1:
            raise ModelError(
                f"SampleGrids: expected every and columns of 1 or more, received {every}, {columns}"
            )
        self._draw, self._write = draw, write
        self._every, self._columns, self._suffix = every, columns, suffix

    def after_epoch(self, run: Run) -> None:
        """Draw and write, if it is time."""
        epoch = run.progress.epoch
        if run.directory is None or epoch % self._every:
            return
        device = next(run.product.parameters()).device
        noise = isolated(derive_seed("samples", run.config.seed), device)
        with evaluating(run.product), noise, torch.no_grad():
            images = self._draw(run.product)
        self._write(
            run.directory / "samples" / f"epoch-{epoch:04d}{self._suffix}", image_grid(images, self._columns)
        )


def image_grid(images: Tensor, columns: int) -> Tensor:
    """Images (n, C, H, W) side by side, (C, rows H, columns W); the last row is filled up with black.

    >>> tuple(image_grid(torch.ones(5, 3, 8, 8), columns=2).shape)
    (3, 24, 16)
    """
    missing = -len(images) % columns
    padded = torch.cat([images, images.new_zeros(missing, *images.shape[1:])])
    return rearrange(padded, "(r c) d h w -> d (r h) (c w)", c=columns)
