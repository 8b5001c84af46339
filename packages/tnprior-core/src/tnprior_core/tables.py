"""Drawing from many small distributions at once: one table, one column per distribution.

A table (n, C) holds the weights of n outcomes in each of C columns. Summed along the outcomes it answers a draw
by a binary search: one gather, one comparison and one addition per halving, for all draws together.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["cumulate", "look_up", "numbered"]

_BLOCK = 5
_BITS = {torch.float32: torch.int32, torch.float64: torch.int64}


def cumulate(weights: Tensor) -> Tensor:
    """Turn weights (n, C) into distribution functions along the first axis, in place; return the totals (C,).

    Sums within blocks first, for all blocks together, then block after block: half as many operations.
    Additions of columns only, so that a column has the same bits in whatever table it stands, and an outcome
    of weight zero ends exactly where the one before it ends. A column of zeros stays zero.

    >>> table = torch.tensor([[1.0, 0.0], [3.0, 2.0]])
    >>> cumulate(table), table[0]
    (tensor([4., 2.]), tensor([0.2500, 0.0000]))
    """
    count = weights.shape[0]
    step = _BLOCK if count > 2 * _BLOCK else count
    whole = count // step * step
    blocks = weights[:whole].view(whole // step, step, -1)
    for inside in range(1, step):
        blocks[:, inside].add_(blocks[:, inside - 1])
    for start in range(step, whole, step):
        weights[start : start + step].add_(weights[start - 1])
    for last in range(whole, count):
        weights[last].add_(weights[last - 1])
    total = weights[-1].clone()
    # A division, not a product with the reciprocal: the last entry must be exactly one.
    weights.div_(total.clamp_min(torch.finfo(weights.dtype).tiny))
    return total


def look_up(table: Tensor, column: Tensor, level: Tensor) -> Tensor:
    """Return the outcomes, int32, whose intervals of the distribution functions hold `level`, in [0, 1).

    table
        (n, C) from `cumulate`, n C < 2^31.
    column, level
        of one shape; int32, and of the dtype of the table.

    An outcome of weight zero has an empty interval and is never drawn.

    >>> table = torch.tensor([[0.0, 1.0], [2.0, 0.0], [2.0, 1.0]])
    >>> total = cumulate(table)
    >>> look_up(table, torch.tensor([0, 0, 1], dtype=torch.int32), torch.tensor([0.0, 0.5, 0.7]))
    tensor([1, 2, 2], dtype=torch.int32)
    """
    outcomes, columns = table.shape
    # Non-negative floats are ordered as their bits are, and comparing integers into integers needs no conversion.
    bits = _BITS[table.dtype]
    flat, goal = table.view(bits).flatten(), level.flatten().view(bits)
    place, probe = column.flatten().clone(), torch.empty_like(goal)
    state = torch.zeros_like(place)
    while outcomes > 1:
        half = outcomes // 2
        torch.index_select(flat[(half - 1) * columns :], 0, place, out=probe)
        passed = torch.le(probe, goal, out=probe)
        passed = passed if bits == torch.int32 else passed.int()
        place.add_(passed, alpha=half * columns)
        state.add_(passed, alpha=half)
        outcomes -= half
    return state.view(level.shape)


def numbered(index: Tensor, step: int) -> Tensor:
    """Add 0, step, 2 step, ... to the rows of `index` (n, S): places in n tables that stand side by side.

    >>> numbered(torch.zeros(2, 2, dtype=torch.int32), 5)
    tensor([[0, 0],
            [5, 5]], dtype=torch.int32)
    """
    start = torch.arange(0, len(index) * step, step, dtype=index.dtype, device=index.device)
    return index + start.unsqueeze(1)
