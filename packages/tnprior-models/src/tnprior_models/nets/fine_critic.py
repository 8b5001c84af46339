"""A critic that sees every pixel: an image to a score, and to logits of its labels."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from tnprior_models.nets.batch_deviation import BatchDeviation
from tnprior_models.nets.image_critic import ImageCritic
from tnprior_models.nets.pyramid import WIDEST, Pyramid

__all__ = ["FineCritic"]


class FineCritic(ImageCritic):
    """`x -> (score, label logits)`: a 3x3 convolution at full size, then 4x4 ones that halve it, (B, 1 + L).

    LeakyReLU 0.2 after each, no normalisation; the image is halved (rounding down) as long as its shorter side stays
    at 4 or more, and the channels double with it, up to four times `width`. A first convolution that skips pixels, as
    that of `ConvCritic`, is slow to see noise of single pixels.

    Args:
        image_shape: (C, H, W), 1 or 3 channels, sides of at least 8.
        labels: L, labels of all attributes together.
        width: channels after the first convolution.
        compares: whether it sees how much the objects of a batch differ (`BatchDeviation`), before a last 3x3
            convolution.

    Raises:
        ModelError: an image shape or width that cannot be served.

    >>> import torch
    >>> FineCritic((1, 28, 28), labels=2, width=8)(torch.rand(5, 1, 28, 28)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self, image_shape: tuple[int, ...], *, labels: int = 0, width: int = 32, compares: bool = False
    ) -> None:
        shape = Pyramid(tuple(image_shape), width).image_shape
        channels, height, breadth = shape
        widths = [width]
        while min(height, breadth) // 2 >= 4:
            height, breadth = height // 2, breadth // 2
            widths.append(min(2 * widths[-1], WIDEST * width))
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.LeakyReLU(0.2)]
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        if compares:
            last = widths[-1]
            layers += [BatchDeviation(), nn.Conv2d(last + 1, last, 3, padding=1), nn.LeakyReLU(0.2)]
        super().__init__(shape, nn.Sequential(*layers), widths[-1] * height * breadth, labels=labels)
