"""The generator of the paper: a code to an image through convolutions that double it again and again."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from tnprior_models.errors import ModelError
from tnprior_models.nets.pyramid import Pyramid

__all__ = ["ConvGenerator", "halved_sizes", "shuffled_doubling", "transposed_doubling"]


def transposed_doubling(before: int, after: int) -> nn.Module:
    """Transposed 5x5 convolution of stride 2, as in the public program of TRIP.

    >>> import torch
    >>> transposed_doubling(8, 4)(torch.zeros(1, 8, 4, 4)).shape
    torch.Size([1, 4, 8, 8])
    """
    return nn.ConvTranspose2d(before, after, 5, stride=2, padding=2, output_padding=1)


def shuffled_doubling(before: int, after: int) -> nn.Module:
    """3x3 convolution whose channels are the four pixels of each doubled one (sub-pixel convolution).

    Every pixel sees equally many weights, so that there is no checkerboard to unlearn.
    Source: Shi et al. 2016, equation 4.

    >>> import torch
    >>> shuffled_doubling(8, 4)(torch.zeros(1, 8, 4, 4)).shape
    torch.Size([1, 4, 8, 8])
    """
    return nn.Sequential(nn.Conv2d(before, 4 * after, 3, padding=1), nn.PixelShuffle(2))


class ConvGenerator(nn.Module):
    """`z -> x` in [0, 1]: a dense layer to a grid of about 4x4, then convolutions that double height and width.

    ReLU after each but the last, no normalisation, `(1 + tanh) / 2` at the end; the channels halve from
    layer to layer down to `width` before the image. A size that is no power of two is cropped on the way.
    Source: TRIP (Kuznetsov et al. 2019), the public program; at 64x64 and width 64 it is the paper's.

    Args:
        image_shape: (C, H, W), 1 or 3 channels, sides of at least 8.
        latent_size: d, length of the code.
        width: channels before the last convolution.
        doubling: channels before and after -> a module that doubles a grid: `transposed_doubling`, or
            `shuffled_doubling`, which leaves no checkerboard.

    Raises:
        ModelError: an image shape or width that cannot be served.

    >>> import torch
    >>> generator = ConvGenerator((3, 64, 64), latent_size=128, width=8)
    >>> generator(torch.zeros(2, 128)).shape
    torch.Size([2, 3, 64, 64])
    """

    def __init__(
        self,
        image_shape: tuple[int, ...],
        latent_size: int,
        *,
        width: int = 64,
        doubling: Callable[[int, int], nn.Module] = transposed_doubling,
    ) -> None:
        super().__init__()
        sizes = halved_sizes(image_shape, width)[::-1]
        widths = [width * 2**level for level in range(len(sizes) - 1)][::-1]
        self.image_shape, self.latent_size = tuple(image_shape), latent_size
        height, breadth = sizes[0]
        self.dense = nn.Linear(latent_size, widths[0] * height * breadth, bias=False)
        self.unflatten = nn.Unflatten(1, (widths[0], height, breadth))
        layers: list[nn.Module] = []
        for (before, after), size in zip(pairwise([*widths, image_shape[0]]), sizes[1:], strict=True):
            layers += [nn.ReLU(), _Cropped(doubling(before, after), size)]
        self.convolutions = nn.Sequential(*layers)

    def forward(self, z: Float[Tensor, "..."]) -> Float[Tensor, "B C H W"]:
        """Images in [0, 1] of codes (B, d).

        Raises:
            ModelError: codes of another length.
        """
        require_codes(z, self.latent_size)
        image: Tensor = self.convolutions(self.unflatten(self.dense(z)))
        return (1 + image.tanh()) / 2


class _Cropped(nn.Module):
    """A doubling, cropped to the size asked for."""

    def __init__(self, doubling: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.convolution = doubling

    def forward(self, grid: Tensor) -> Tensor:
        height, width = self.size
        doubled: Tensor = self.convolution(grid)
        return doubled[..., :height, :width]


def halved_sizes(image_shape: tuple[int, ...], width: int) -> list[tuple[int, int]]:
    """(height, width) of an image halved, rounding up, until its shorter side is 4 to 7.

    Raises:
        ModelError: an image shape or width that `Pyramid` refuses.

    >>> halved_sizes((1, 28, 28), 64)
    [(28, 28), (14, 14), (7, 7), (4, 4)]
    """
    sizes = [(image_shape[-2], image_shape[-1])]
    for _ in range(Pyramid(tuple(image_shape), width).halvings):
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return sizes


def require_codes(z: Tensor, latent_size: int) -> None:
    """Check a batch of codes.

    Raises:
        ModelError: codes of another length.
    """
    if z.ndim != 2 or z.shape[1] != latent_size:
        raise ModelError(f"expected codes of shape (B, {latent_size}), received {tuple(z.shape)}")
