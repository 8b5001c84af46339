"""Images as metrics see them: eight bits a channel, exactly what a saved PNG would hold."""

import torch
from jaxtyping import UInt8
from torch import Tensor

from tnprior_eval.errors import ShapeError


def quantize(x: Tensor) -> UInt8[Tensor, "*shape"]:
    """Images in [0, 1] as uint8, rounded to the nearest of 256 levels; values outside are cut off.

    Args:
        x: float, any shape.

    Raises:
        ShapeError: when `x` is not floating point or holds NaN, which no image file could.

    >>> quantize(torch.tensor([0.0, 0.5, 1.2]))
    tensor([  0, 128, 255], dtype=torch.uint8)
    """
    if not x.dtype.is_floating_point:
        raise ShapeError(f"expected floating-point images in [0, 1], received {x.dtype}")
    if bool(torch.isnan(x).any()):
        raise ShapeError("expected images without NaN, received some; the model has diverged")
    return (x.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)


def three_channels(x: UInt8[Tensor, "n C H W"]) -> UInt8[Tensor, "n 3 H W"]:
    """Grey images (n, 1, H, W) repeated to (n, 3, H, W); colour images unchanged."""
    return x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
