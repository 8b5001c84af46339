"""What the decoder's output means: the density of an image, and its mean.

A likelihood is a small module: it may learn something of its own (a noise level). Sums run over all
channels and pixels, in nats.
"""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from tnprior_models.errors import ImageShapeError, ModelError
from tnprior_models.nets.bounded import floor_softly

__all__ = ["Bernoulli", "Gaussian", "ImageLikelihood"]


@runtime_checkable
class ImageLikelihood(Protocol):
    """What a VAE asks of a likelihood (implemented by `Bernoulli` and `Gaussian`)."""

    def log_prob(self, decoded: Tensor, x: Tensor) -> Tensor:
        """log p(x | decoded), summed over pixels, (B,) in nats."""
        ...

    def mean(self, decoded: Tensor) -> Tensor:
        """E[x | decoded], the picture to show, in [0, 1]."""
        ...


class Bernoulli(nn.Module):
    """Pixels are independent coin flips whose logits the decoder gives.

    `log p(x|l) = sum x l - softplus(l)`, evaluated from the logits and therefore stable at saturation.

    The measure is the counting measure on {0, 1}^D: for binary images this is a log-probability
    (never positive). Grey values in between are taken as expected bits, as is the custom for MNIST:
    the number then is the expected log-probability of the image binarised at random, not the density
    of a grey image, and must not be compared with one.

    >>> Bernoulli().log_prob(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2))  # four fair coins
    tensor([-2.7726])
    """

    def log_prob(self, decoded: Float[Tensor, "B C H W"], x: Float[Tensor, "..."]) -> Float[Tensor, " B"]:
        """`sum x l - softplus(l)` over pixels; nats per image, counting measure.

        Raises:
            ImageShapeError: `decoded` and `x` differ in shape.
        """
        _same_shape(decoded, x)
        return -binary_cross_entropy_with_logits(decoded, x, reduction="none").flatten(1).sum(dim=1)

    def mean(self, decoded: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Probability that each pixel is on."""
        return decoded.sigmoid()


class Gaussian(nn.Module):
    """Pixels are independent normals around the decoded image, with a learned noise level.

    `log p(x|m) = sum -1/2 ((x - m) / sigma)^2 - log sigma - 1/2 log 2 pi`, with `m = sigmoid(decoded)`.

    The measure is Lebesgue's on R^D for pixels scaled to [0, 1] (not for 0..255: subtract `D log 256`
    for a density of byte values). It is a density and may be positive.

    `log_sigma` is kept above `floor` by `floor + softplus(raw - floor)`: on images with constant pixels
    the density grows without bound as sigma falls, and one grey level (1/255, log -5.5) is the finest
    difference the data can show. Unlike a clamp the softplus leaves a gradient, so sigma can rise again.

    Args:
        channels: one noise level per channel; 0 for a single one shared by all.
        log_sigma: initial log standard deviation.
        floor: lower bound of `log_sigma`.

    Raises:
        ModelError: `log_sigma` is not above `floor`.

    >>> likelihood = Gaussian(log_sigma=0.0)
    >>> x = torch.full((1, 1, 2, 2), 0.5)
    >>> likelihood.log_prob(torch.zeros(1, 1, 2, 2), x)  # 4 * -1/2 log 2 pi
    tensor([-3.6758], grad_fn=<SumBackward1>)
    """

    def __init__(self, *, channels: int = 0, log_sigma: float = -2.0, floor: float = -5.5) -> None:
        super().__init__()
        if log_sigma <= floor:
            raise ModelError(f"expected log_sigma above its floor {floor}, received {log_sigma}")
        self.floor = floor
        raw = floor + math.log(math.expm1(log_sigma - floor))
        self.raw_log_sigma = nn.Parameter(torch.full((channels, 1, 1) if channels else (), raw))

    @property
    def log_sigma(self) -> Tensor:
        """Log standard deviation, () or (C, 1, 1)."""
        return floor_softly(self.raw_log_sigma, self.floor)

    def log_prob(self, decoded: Float[Tensor, "B C H W"], x: Float[Tensor, "..."]) -> Float[Tensor, " B"]:
        """Normal log-density summed over pixels; nats per image, pixels in [0, 1].

        Raises:
            ImageShapeError: `decoded` and `x` differ in shape.
        """
        _same_shape(decoded, x)
        log_sigma = self.log_sigma
        scaled = (x - decoded.sigmoid()) * torch.exp(-log_sigma)
        per_pixel = -0.5 * scaled.square() - log_sigma - 0.5 * math.log(2 * math.pi)
        return per_pixel.flatten(1).sum(dim=1)

    def mean(self, decoded: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """The decoded image, in [0, 1]."""
        return decoded.sigmoid()


def _same_shape(decoded: Tensor, x: Tensor) -> None:
    if decoded.shape != x.shape:
        raise ImageShapeError(
            f"expected images of the decoder's shape {tuple(decoded.shape)}, received {tuple(x.shape)}"
        )
