"""The critic of the paper: an image to a score, and to logits of its labels."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn

from tnprior_models.nets.conv_generator import halved_sizes
from tnprior_models.nets.image_critic import ImageCritic

__all__ = ["ConvCritic", "PixelLayerNorm", "image_layer_norm"]


def image_layer_norm(channels: int) -> nn.Module:
    """Layer normalisation over channels and pixels of an image together, with a gain per channel.

    No image's score depends on another's, which a gradient penalty needs and batch normalisation breaks.
    Source: Gulrajani et al. 2017, section 4.

    >>> image_layer_norm(8).num_groups
    1
    """
    return nn.GroupNorm(1, channels)


class PixelLayerNorm(nn.LayerNorm):
    """Layer normalisation over the channels of every pixel apart, as in the public program of TRIP.

    >>> import torch
    >>> bool(PixelLayerNorm(8)(torch.rand(2, 8, 3, 3)).mean(1).abs().max() < 1e-5)
    True
    """

    def forward(self, input: Tensor) -> Tensor:
        """The image, normalised pixel by pixel."""
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


class ConvCritic(ImageCritic):
    """`x -> (score, label logits)`: 5x5 convolutions of stride 2 and one dense layer, (B, 1 + L).

    The mirror of `ConvGenerator`: channels double from `width`, LeakyReLU 0.2 after each convolution,
    normalisation before it on all but the first. Column 0 is the score; the others are the logits of the
    attributes' labels side by side. Source: TRIP (Kuznetsov et al. 2019), the public program.

    Args:
        image_shape: (C, H, W), 1 or 3 channels, sides of at least 8.
        labels: L, labels of all attributes together.
        width: channels after the first convolution.
        norm: channels -> a normalisation that never mixes images: `image_layer_norm`, `PixelLayerNorm`, or
            `torch.nn.Identity` for none.

    Raises:
        ModelError: an image shape or width that cannot be served.

    >>> import torch
    >>> ConvCritic((1, 28, 28), labels=2, width=8)(torch.rand(5, 1, 28, 28)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        image_shape: tuple[int, ...],
        *,
        labels: int = 0,
        width: int = 64,
        norm: Callable[[int], nn.Module] = image_layer_norm,
    ) -> None:
        sizes = halved_sizes(image_shape, width)
        widths = [width * 2**level for level in range(len(sizes) - 1)]
        layers: list[nn.Module] = []
        for before, after in pairwise([image_shape[0], *widths]):
            layers += [nn.Conv2d(before, after, 5, stride=2, padding=2)]
            layers += [norm(after)] if len(layers) > 1 else []
            layers += [nn.LeakyReLU(0.2)]
        height, breadth = sizes[-1]
        features = widths[-1] * height * breadth
        super().__init__(tuple(image_shape), nn.Sequential(*layers), features, labels=labels)
