"""The convolutional decoder: a code to an image, the encoder's mirror."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from tnprior_models.nets.cell_layers import CodeToCells
from tnprior_models.nets.conv_generator import require_codes
from tnprior_models.nets.pyramid import GRID, Normalization, Pyramid, group_count

__all__ = ["ConvDecoder"]


class _Grow(nn.Module):
    """Transposed 4x4 convolution of stride 2, cropped to the exact size of the encoder's layer.

    A kernel that the stride divides covers every pixel equally often: no checkerboard.
    """

    def __init__(self, before: int, after: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.convolution = nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)

    def forward(self, grid: Tensor) -> Tensor:
        height, width = self.size
        grown: Tensor = self.convolution(grid)
        return grown[..., :height, :width]


class ConvDecoder(nn.Module):
    """Two dense layers and six (transposed) convolutions: z -> what the likelihood calls `decoded`.

    The layers of `ConvEncoder` in reverse; group normalisation and SiLU after each but the last.

    Args:
        image_shape: (C, H, W) of the images.
        latent_size: d, length of the code.
        width: channels before the last convolution.
        hidden: units of the first dense layer.
        normalization: over groups of channels or over all of them, as in `ConvEncoder`.
        spatial: a code that is a grid, `CodeToCells`, as in `ConvEncoder`.
        grid: shorter side that the first grid has at least, as the last one in `ConvEncoder`.

    Raises:
        ModelError: as `ConvEncoder` does.

    >>> import torch
    >>> ConvDecoder((3, 33, 45), latent_size=16)(torch.zeros(2, 16)).shape
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
        spatial: bool = False,
        grid: int = GRID,
    ) -> None:
        super().__init__()
        pyramid = Pyramid(image_shape, width, grid)
        self.image_shape = pyramid.image_shape
        self.latent_size = latent_size
        self.dense = (
            CodeToCells(pyramid, latent_size, hidden=hidden, normalization=normalization)
            if spatial
            else nn.Sequential(
                nn.Linear(latent_size, hidden), nn.SiLU(), nn.Linear(hidden, pyramid.features), nn.SiLU()
            )
        )
        self.unflatten = pyramid.unflatten()
        self.convolutions = nn.Sequential(*_mirrored(pyramid, normalization))

    def forward(self, z: Float[Tensor, "..."]) -> Float[Tensor, "B C H W"]:
        """Decoded images of codes (B, d), unbounded.

        Raises:
            ModelError: codes of another length.
        """
        require_codes(z, self.latent_size)
        image: Tensor = self.convolutions(self.unflatten(self.dense(z)))
        return image


def _mirrored(pyramid: Pyramid, normalization: Normalization) -> list[nn.Module]:
    layers: list[nn.Module] = []
    steps = zip(pyramid.strides, pyramid.channels[1:], pyramid.channels[:-1], pyramid.sizes[:-1], strict=True)
    for stride, before, after, size in reversed(list(steps)):
        grows = stride == 2
        layers += [_Grow(before, after, size) if grows else nn.Conv2d(before, after, 3, padding=1)]
        layers += [nn.GroupNorm(group_count(after, normalization), after), nn.SiLU()]
    return layers[:-2]
