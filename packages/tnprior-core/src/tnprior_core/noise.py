"""Noise that does not depend on the batch size: blocks of fixed size, each with its own seed."""

from __future__ import annotations

from typing import NamedTuple

import numpy
import torch
from torch import Tensor

from tnprior_core.parts import parts_for

__all__ = ["BLOCK", "Noise", "draw_noise", "fresh_seed"]

BLOCK = 512
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

    Column i is a function of (seed, stream, first + i) alone: block `j` of 512 columns is drawn from
    generators seeded with a hash of (seed, stream, j), always on the CPU, so that every device, batch
    size and number of processes sees the same samples.

    >>> whole = draw_noise(2, 1, 300, seed=7)
    >>> part = draw_noise(2, 1, 10, seed=7, first=200)
    >>> bool((whole.uniform[:, 200:210] == part.uniform).all())
    True
    """
    noise = Noise(torch.empty(uniforms, count), torch.empty(normals, count))
    start, stop = first // BLOCK, -(-(first + count) // BLOCK)

    def fill(part: slice) -> None:
        for index in range(start + part.start, start + part.stop):
            block = _block(uniforms, normals, _hash(seed, stream, index))
            begin, end = index * BLOCK - first, (index + 1) * BLOCK - first
            inside = slice(max(-begin, 0), BLOCK - max(end - count, 0))
            for whole, piece in zip(noise, block, strict=True):
                whole[:, max(begin, 0) : end] = piece[:, inside]

    in_parts = parts_for(noise.uniform.device)
    in_parts(fill, stop - start, (uniforms + normals) * BLOCK // 4)
    return noise


def _block(uniforms: int, normals: int, seed: int) -> Noise:
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(normals, BLOCK, generator=generator)
    # Half of a raw number each; torch's own generator takes twice as long, and this is most of the noise.
    raw = numpy.random.SFC64(seed).random_raw(uniforms * BLOCK // 2)
    bits = torch.from_numpy(raw.view(numpy.int32)).view(uniforms, BLOCK)
    # 24 bits are exact in single precision, the sums too: multiples of 2^-24 in [0, 1).
    return Noise(torch.add(torch.tensor(0.5), bits >> 8, alpha=2.0**-24), normal)


def _hash(*numbers: int) -> int:
    """Mix integers into 63 bits (splitmix64 finaliser), so that near seeds give unrelated streams."""
    state = 0x9E3779B97F4A7C15
    for number in numbers:
        state = (state ^ (number & _MASK)) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state >> 1
