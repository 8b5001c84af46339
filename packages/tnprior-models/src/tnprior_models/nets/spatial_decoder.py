"""A decoder whose code is a grid: the spatial encoder's mirror."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tnprior_models.nets.cells import Cells
from tnprior_models.nets.conv_decoder import mirrored_convolutions
from tnprior_models.nets.conv_generator import require_codes
from tnprior_models.nets.pyramid import Normalization, Pyramid, group_count

__all__ = ["SpatialDecoder"]


class SpatialDecoder(nn.Module):
    """A grid of latents through two layers that all cells share and six (transposed) convolutions: z -> `decoded`.

    The first layer sees a cell with its eight neighbours, and where it is (a bias of each cell). The code is that of
    `SpatialEncoder`, the convolutions are those of `ConvDecoder`.

    Args:
        image_shape: (C, H, W) of the images.
        latent_size: d, length of the code, a multiple of the number of cells.
        width: channels before the last convolution.
        hidden: units of the first layer.
        normalization: over groups of channels or over all of them.

    Raises:
        ModelError: d is no such multiple.

    >>> SpatialDecoder((3, 33, 45), latent_size=30)(torch.zeros(2, 30)).shape
    torch.Size([2, 3, 33, 45])
    """

    def __init__(
        self,
        image_shape: tuple[int, ...],
        latent_size: int,
        *,
        width: int = 32,
        hidden: int = 256,
        normalization: Normalization = "groups",
    ) -> None:
        super().__init__()
        pyramid = Pyramid(image_shape, width)
        last = pyramid.channels[-1]
        self.image_shape = pyramid.image_shape
        self.latent_size = latent_size
        self.cells = Cells(pyramid, latent_size)
        self.code = nn.Conv2d(self.cells.shape[0], hidden, 3, padding=1)
        self.place = nn.Parameter(torch.zeros(hidden, *pyramid.sizes[-1]))
        self.features = nn.Sequential(
            nn.SiLU(),
            nn.Conv2d(hidden, last, 1),
            nn.GroupNorm(group_count(last, normalization), last),
            nn.SiLU(),
        )
        self.convolutions = mirrored_convolutions(pyramid, normalization)

    def forward(self, z: Float[Tensor, "..."]) -> Float[Tensor, "B C H W"]:
        """Decoded images of codes (B, d), unbounded.

        Raises:
            ModelError: codes of another length.
        """
        require_codes(z, self.latent_size)
        image: Tensor = self.convolutions(self.features(self.code(self.cells.to_grid(z)) + self.place))
        return image
