"""Which examples an update sees: a function of the seed, the epoch and the position, and of nothing else."""

import hashlib
import math
from itertools import pairwise

import torch
from torch import Tensor


def derive_seed(*parts: int | str) -> int:
    """A seed in [0, 2**63) for the stream that `parts` name; different names give unrelated streams.

    >>> (
    ...     derive_seed("order", 0, 1) == derive_seed("order", 0, 1),
    ...     derive_seed("order", 0, 1) == derive_seed("order", 1, 0),
    ... )
    (True, False)
    """
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def epoch_order(count: int, seed: int, epoch: int) -> Tensor:
    """A permutation of `range(count)`, (count,) int64, the same on every machine and in every process."""
    generator = torch.Generator().manual_seed(derive_seed("order", seed, epoch))
    return torch.randperm(count, generator=generator, device="cpu")


def batch_count(count: int, batch_size: int) -> int:
    """How many batches of at most `batch_size` an epoch over `count` examples has."""
    return math.ceil(count / batch_size)


def bounds(count: int, parts: int) -> list[tuple[int, int]]:
    """`parts` adjacent ranges that cover `range(count)` and differ in length by at most one.

    An epoch is cut into batches this way, so there is no tiny last batch, and a batch into the shares of
    the processes and the parts of gradient accumulation.

    >>> bounds(10, 4)
    [(0, 3), (3, 6), (6, 8), (8, 10)]
    """
    size, longer = divmod(count, parts)
    edges = [index * size + min(index, longer) for index in range(parts + 1)]
    return list(pairwise(edges))
