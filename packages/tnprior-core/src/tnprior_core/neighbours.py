"""Rows of a table by their numbers: a view where the rows are neighbours, a copy where they are not.

Sites of one kind mostly follow each other, and what they need then costs no copy.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["rows_of", "write_rows"]


def rows_of(table: Tensor, numbers: Sequence[int]) -> Tensor:
    """Return the rows (n, ...) of `table` with these numbers, at least one, in ascending order.

    >>> rows_of(torch.arange(5), [1, 2]), rows_of(torch.arange(5), [1, 4])
    (tensor([1, 2]), tensor([1, 4]))
    """
    if _adjacent(numbers):
        return table[numbers[0] : numbers[-1] + 1]
    return table.index_select(0, torch.as_tensor(numbers, device=table.device))


def write_rows(table: Tensor, numbers: Sequence[int], rows: Tensor) -> None:
    """Copy `rows` to where `rows_of` finds them; nothing is left to do where they are that view already.

    >>> table = torch.zeros(3)
    >>> write_rows(table, [0, 2], torch.ones(2))
    >>> table
    tensor([1., 0., 1.])
    """
    if not _adjacent(numbers):
        table.index_copy_(0, torch.as_tensor(numbers, device=table.device), rows)
    elif rows.data_ptr() != table[numbers[0]].data_ptr():
        table[numbers[0] : numbers[-1] + 1] = rows


def _adjacent(numbers: Sequence[int]) -> bool:
    return list(numbers) == list(range(numbers[0], numbers[0] + len(numbers)))
