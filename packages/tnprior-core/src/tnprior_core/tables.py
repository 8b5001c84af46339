"""Drawing from many small distributions at once: one table, one row per distribution.

A table (C, n) holds the weights of n outcomes in each of C rows. Summed along the outcomes it answers a draw by a
binary search: one gather, one comparison and one addition per halving, for all draws together. The outcomes of a row
lie side by side, so that the probes of one search touch one or two lines of the cache.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tnprior_core.compiled import array, kernels

__all__ = ["cumulate", "look_up", "look_up_between", "numbered"]

_BITS = {torch.float32: torch.int32, torch.float64: torch.int64}


def cumulate(weights: Tensor) -> Tensor:
    """Turn weights (..., n) into distribution functions along the last axis, in place; return the totals (...).

    Strictly from the first outcome to the last, so that a row has the same bits in whatever table it stands, and an
    outcome of weight zero ends exactly where the one before it ends. A row of zeros stays zero.

    >>> table = torch.tensor([[1.0, 3.0], [0.0, 2.0]])
    >>> cumulate(table), table[:, 0]
    (tensor([4., 2.]), tensor([0.2500, 0.0000]))
    """
    if weights.device.type == "cpu":
        weights.cumsum_(-1)
    else:  # where a cumulative sum adds in another order
        for outcome in range(1, weights.shape[-1]):
            weights[..., outcome].add_(weights[..., outcome - 1])
    total = weights[..., -1].clone()
    # A division, not a product with the reciprocal: the last entry must be exactly one.
    weights.div_(total.clamp_min(torch.finfo(weights.dtype).tiny).unsqueeze(-1))
    return total


def look_up(table: Tensor, row: Tensor, level: Tensor, out: Tensor | None = None) -> Tensor:
    """Return the outcomes, int32, whose intervals of the distribution functions hold `level`, in [0, 1).

    table
        (..., n) from `cumulate`, contiguous, fewer than 2^31 entries.
    row, level
        of one shape; int32, counting through the leading axes, and of the dtype of the table.
    out
        where to write them; None for a new tensor.

    An outcome of weight zero has an empty interval and is never drawn.

    >>> table = torch.tensor([[0.0, 2.0, 2.0], [1.0, 0.0, 1.0]])
    >>> total = cumulate(table)
    >>> look_up(table, torch.tensor([0, 0, 1], dtype=torch.int32), torch.tensor([0.0, 0.5, 0.7]))
    tensor([1, 2, 2], dtype=torch.int32)
    """
    outcomes = size = table.shape[-1]
    # Non-negative floats are ordered as their bits are, and comparing integers into integers needs no conversion.
    bits = _BITS[table.dtype]
    flat, goal = table.view(-1).view(bits), level.flatten().view(bits)
    place, probe = row.flatten() * size, torch.empty_like(goal)
    while outcomes > 1:
        half = outcomes // 2
        torch.index_select(flat[half - 1 :], 0, place, out=probe)
        passed = torch.le(probe, goal, out=probe)
        place.add_(passed if bits == torch.int32 else passed.int(), alpha=half)
        outcomes -= half
    return torch.sub(place.view(level.shape), row, alpha=size, out=out)


def look_up_between(
    table: Tensor, before: Tensor, after: Tensor, width: int, level: Tensor, out: Tensor
) -> None:
    """Write the outcomes of draws whose row is told by two indices, `before * width + after`, to `out`.

    table
        (n, R, N) from `cumulate`, contiguous: one table per site.
    before, after, level, out
        (n, S), as `row`, `level` and `out` of `look_up`.

    >>> table = torch.tensor([[[0.0, 2.0], [1.0, 1.0]]])
    >>> total, out = cumulate(table), torch.empty(1, 3, dtype=torch.int32)
    >>> zero, after = torch.zeros_like(out), torch.tensor([[0, 1, 1]], dtype=torch.int32)
    >>> look_up_between(table, zero, after, 2, torch.tensor([[0.2, 0.2, 0.5]]), out)
    >>> out
    tensor([[1, 0, 1]], dtype=torch.int32)
    """
    loops = kernels(table.device)
    if loops is not None:
        loops.search(array(table), array(before), array(after), width, array(level), array(out))
        return
    row = torch.add(numbered(after, table.shape[1]), before, alpha=width)
    look_up(table, row, level, out=out)


def numbered(index: Tensor, step: int) -> Tensor:
    """Add 0, step, 2 step, ... to the rows of `index` (n, S): places in n tables that lie one after the other.

    >>> numbered(torch.zeros(2, 2, dtype=torch.int32), 5)
    tensor([[0, 0],
            [5, 5]], dtype=torch.int32)
    """
    start = torch.arange(0, len(index) * step, step, dtype=index.dtype, device=index.device)
    return index + start.unsqueeze(1)
