"""The convolutions of an encoder: an image to a flat row of features."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from tnprior_models.errors import ImageShapeError
from tnprior_models.nets.pyramid import GRID, Normalization, Pyramid, group_count

__all__ = ["ConvFeatures", "convolutions", "require_shape"]


class ConvFeatures(nn.Module):
    """The six convolutions of `ConvEncoder` without its dense layers: x -> features (B, `size`).

    What several heads share: the code of an image and the prediction of its labels.

    Args:
        image_shape: (C, H, W) of the images.
        width: channels of the first convolution.
        normalization: over groups of channels or over all of them.
        grid: shorter side that the last grid has at least, as in `ConvEncoder`.

    >>> import torch
    >>> features = ConvFeatures((1, 28, 28), width=16)
    >>> features(torch.rand(2, 1, 28, 28)).shape, features.size
    (torch.Size([2, 1024]), 1024)
    """

    def __init__(
        self,
        image_shape: tuple[int, ...],
        *,
        width: int = 32,
        normalization: Normalization = "groups",
        grid: int = GRID,
    ) -> None:
        super().__init__()
        pyramid = Pyramid(image_shape, width, grid)
        self.image_shape = pyramid.image_shape
        self.size = pyramid.features
        self.convolutions = convolutions(pyramid, normalization)

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "B F"]:
        """Features of images (B, C, H, W) in [0, 1].

        Raises:
            ImageShapeError: images of another size or number of channels.
        """
        require_shape(x, self.image_shape)
        features: Tensor = self.convolutions(2 * x - 1)
        return features.flatten(1)


def convolutions(pyramid: Pyramid, normalization: Normalization = "groups") -> nn.Sequential:
    """3x3 convolutions along the pyramid, each followed by group normalisation and SiLU."""
    layers: list[nn.Module] = []
    for stride, before, after in zip(
        pyramid.strides, pyramid.channels[:-1], pyramid.channels[1:], strict=True
    ):
        convolution = nn.Conv2d(before, after, 3, stride=stride, padding=1)
        layers += [convolution, nn.GroupNorm(group_count(after, normalization), after), nn.SiLU()]
    return nn.Sequential(*layers)


def require_shape(x: Tensor, image_shape: tuple[int, ...]) -> None:
    """Check a batch of images.

    Raises:
        ImageShapeError: images of another size or number of channels.
    """
    if x.ndim != 4 or tuple(x.shape[1:]) != tuple(image_shape):
        channels, height, width = image_shape
        raise ImageShapeError(
            f"expected images of shape (B, {channels}, {height}, {width}), received {tuple(x.shape)}; "
            "resize them or build another network"
        )
