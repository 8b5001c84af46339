"""Noise that does not depend on the batch size: blocks of fixed size, each with its own seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy
import torch
from torch import Tensor

from tnprior_core.compiled import array, kernels
from tnprior_core.scratch import empty

__all__ = ["BLOCK", "Noise", "draw_noise", "fresh_seed"]

BLOCK = 512
"""Samples per block; part of the meaning of a seed, so changing it changes every seeded sample."""

_CPU = torch.device("cpu")
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
    return int(torch.randint(2**62, (), device=_CPU).item())


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
    start, stop = first // BLOCK, -(-(first + count) // BLOCK)
    seeds = [_hash(seed, stream, block) for block in range(start, stop)]
    skipped = first - start * BLOCK
    uniform = empty("uniform", (uniforms, count), torch.float32, _CPU)
    _draw_uniform(seeds, skipped, uniform)
    blocks = empty("blocks", (len(seeds), normals, BLOCK), torch.float32, _CPU)
    for block, its_seed in zip(blocks, seeds, strict=True):
        block.normal_(generator=torch.Generator().manual_seed(its_seed))
    normal = empty("normal", (normals, len(seeds) * BLOCK), torch.float32, _CPU)
    normal.view(normals, len(seeds), BLOCK).copy_(blocks.transpose(0, 1))
    return Noise(uniform, normal[:, skipped : skipped + count])


def _draw_uniform(seeds: Sequence[int], skipped: int, out: Tensor) -> None:
    """Write multiples of 2^-24 in [0, 1), which single precision holds exactly, the sums too; (U, n).

    Half of a raw number each; torch's own generator takes twice as long, and this is most of the noise.
    """
    sources, loops = [numpy.random.SFC64(seed) for seed in seeds], kernels(_CPU)
    if loops is not None and sources:
        states = numpy.stack([source.state["state"]["state"] for source in sources])
        loops.fractions(states, skipped, BLOCK, array(out))
        return
    for index, source in enumerate(sources):
        begin, end = index * BLOCK - skipped, min((index + 1) * BLOCK - skipped, out.shape[1])
        inside = slice(max(-begin, 0), end - begin)
        bits = torch.from_numpy(source.random_raw(len(out) * BLOCK // 2).view(numpy.int32)).view(-1, BLOCK)
        torch.add(
            torch.tensor(0.5, device=_CPU),
            bits[:, inside] >> 8,
            alpha=2.0**-24,
            out=out[:, max(begin, 0) : end],
        )


def _hash(*numbers: int) -> int:
    """Mix integers into 63 bits (splitmix64 finaliser), so that near seeds give unrelated streams."""
    state = 0x9E3779B97F4A7C15
    for number in numbers:
        state = (state ^ (number & _MASK)) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state >> 1
