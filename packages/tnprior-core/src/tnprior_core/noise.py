"""Noise that does not depend on the batch size: blocks of fixed size, each with its own seed."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["BLOCK", "Noise", "draw_noise", "fresh_seed"]

BLOCK = 128
"""Samples per block; part of the meaning of a seed, so changing it changes every seeded sample."""

_MASK = (1 << 64) - 1


class Noise(NamedTuple):
    """Independent noise of `n` samples: `uniform` (U, n) in [0, 1) and `normal` (V, n) standard normal."""

    uniform: Tensor
    normal: Tensor


def fresh_seed() -> int:
    """Draw a seed from torch's global generator, so that `torch.manual_seed` governs unseeded samples.

    >>> torch.manual_seed(0) is not None and fresh_seed() >= 0
    True
    """
    return int(torch.randint(2**62, ()).item())


def draw_noise(
    uniforms: int, normals: int, count: int, *, seed: int, stream: int = 0, first: int = 0
) -> Noise:
    """Return the noise of samples `first` ... `first + count - 1` of a stream.

    Column i is a function of (seed, stream, first + i) alone: block `j` of 128 columns is drawn from a
    generator seeded with a hash of (seed, stream, j), always on the CPU, so that every device, batch
    size and number of processes sees the same samples.

    >>> whole = draw_noise(2, 1, 300, seed=7)
    >>> part = draw_noise(2, 1, 10, seed=7, first=200)
    >>> bool((whole.uniform[:, 200:210] == part.uniform).all())
    True
    """
    start, stop = first // BLOCK, -(-(first + count) // BLOCK)
    blocks = [_block(uniforms, normals, seed, stream, index) for index in range(start, max(stop, start + 1))]
    cut = slice(first - start * BLOCK, first - start * BLOCK + count)
    uniform = torch.cat([block.uniform for block in blocks], 1)[:, cut]
    normal = torch.cat([block.normal for block in blocks], 1)[:, cut]
    return Noise(uniform, normal)


def _block(uniforms: int, normals: int, seed: int, stream: int, index: int) -> Noise:
    generator = torch.Generator().manual_seed(_hash(seed, stream, index))
    return Noise(
        torch.rand(uniforms, BLOCK, generator=generator), torch.randn(normals, BLOCK, generator=generator)
    )


def _hash(*numbers: int) -> int:
    """Mix integers into 63 bits (splitmix64 finaliser), so that near seeds give unrelated streams."""
    state = 0x9E3779B97F4A7C15
    for number in numbers:
        state = (state ^ (number & _MASK)) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state >> 1
