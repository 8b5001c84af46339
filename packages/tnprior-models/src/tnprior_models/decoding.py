"""Decoding so that a sample never changes with the request it is part of."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["DECODE_AT_ONCE", "decode_in_blocks"]

DECODE_AT_ONCE = 2048
"""Images decoded in one piece while bounding a likelihood; larger pieces leave the cache."""

DECODE_BLOCK = 64
"""Codes are decoded in blocks of this size at fixed offsets of the stream: convolution kernels round
differently for different batch sizes, and a sample must not change with the request it is part of."""


def decode_in_blocks(
    decode: Callable[[Tensor], Tensor], codes: Float[Tensor, "n d"], *, first: int
) -> Float[Tensor, "n ..."]:
    """`decode(codes)`, where row i is number `first + i` of a stream and is always decoded in the same block.

    >>> decode_in_blocks(lambda block: block[:, :, None, None], torch.ones(3, 2), first=63).shape
    torch.Size([3, 2, 1, 1])
    """
    before = first % DECODE_BLOCK
    after = -(before + codes.shape[0]) % DECODE_BLOCK
    blocks = pad(codes, (0, 0, before, after)).split(DECODE_BLOCK) if codes.shape[0] else (codes,)
    return torch.cat([decode(block) for block in blocks])[before : before + codes.shape[0]]
