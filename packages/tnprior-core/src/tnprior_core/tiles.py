"""Small products in the registers of the processor, of which the loops of `chain_loops` are made.

They go tile by tile, four rows by two columns of vectors: eight sums grow side by side, for six reads per step. All
arrays are one-dimensional; a matrix in them is where it begins and how far it is to the next row and column.

Imported by the modules of loops alone, where numba is installed.
"""

from __future__ import annotations

import numpy

from tnprior_core.machine import as_machine_code
from tnprior_core.vectors import BYTES, fused, largest, load, nothing, spread, store, times, total

__all__ = ["ROWS", "add_outer", "divide", "examples", "multiply", "sums"]

ROWS = 4
"""Rows of a tile: ranks and numbers of components are filled up to multiples of it."""


@as_machine_code
def examples(array):
    """How many numbers are a vector."""
    return BYTES // array.itemsize


@as_machine_code
def multiply(
    out, at, left, first, left_row, left_column, right, second, right_row, right_column, rank, peak, top
):
    """`out = left @ right` (rank, rank), entries vectors: one product for each example.

    `out` is contiguous from `at` on; left and right begin at `first` and `second`. The vector at `top` of `peak`
    becomes the largest entry if it was not larger.
    """
    wide = examples(out)
    for i in range(0, rank, ROWS):
        for j in range(0, rank, 2):
            tile, l, r = _empty_tile(out), first + i * left_row, second + j * right_column
            for _ in range(rank):
                tile = _grown(
                    tile, _column(left, l, left_row), (load(right, r), load(right, r + right_column))
                )
                l += left_column
                r += right_row
            _store_tile(out, at + (i * rank + j) * wide, rank * wide, wide, tile)
            upper = largest(largest(tile[0], tile[1]), largest(tile[2], tile[3]))
            lower = largest(largest(tile[4], tile[5]), largest(tile[6], tile[7]))
            store(peak, top, largest(load(peak, top), largest(upper, lower)))


@as_machine_code
def sums(
    out, at, out_row, out_column, left, first, left_row, left_column,
    right, second, right_row, right_column, rows, inner,
):  # fmt: skip
    """`out[i, j] = sum_k left[i, k] right[k, j]` for `rows` rows and two columns: numbers on the left, vectors else."""
    for i in range(0, rows, ROWS):
        tile, l, r = _empty_tile(out), first + i * left_row, second
        for _ in range(inner):
            tile = _grown(
                tile, _spread_column(left, l, left_row), (load(right, r), load(right, r + right_column))
            )
            l += left_column
            r += right_row
        _store_tile(out, at + i * out_row, out_row, out_column, tile)


@as_machine_code
def add_outer(
    out, at, left, first, left_row, left_step, right, second, right_row, right_step, rows, columns, steps
):
    """`out[i, j] += sum_v total(left[i, v] right[j, v])` for numbers `out` (rows, columns), contiguous from `at` on."""
    for i in range(0, rows, ROWS):
        for j in range(0, columns, 2):
            tile, l, r = _empty_tile(left), first + i * left_row, second + j * right_row
            for _ in range(steps):
                tile = _grown(tile, _column(left, l, left_row), (load(right, r), load(right, r + right_row)))
                l += left_step
                r += right_step
            for row in range(ROWS):
                o = at + (i + row) * columns + j
                out[o] += total(tile[2 * row])
                out[o + 1] += total(tile[2 * row + 1])


@as_machine_code
def _column(left, at, row):
    return load(left, at), load(left, at + row), load(left, at + 2 * row), load(left, at + 3 * row)


@as_machine_code
def _spread_column(left, at, row):
    return spread(left, at), spread(left, at + row), spread(left, at + 2 * row), spread(left, at + 3 * row)


@as_machine_code
def _empty_tile(like):
    zero = nothing(like)
    return zero, zero, zero, zero, zero, zero, zero, zero


@as_machine_code
def _grown(tile, left, right):
    """A tile plus the products of a column of the left and a row of the right."""
    return (
        fused(left[0], right[0], tile[0]),
        fused(left[0], right[1], tile[1]),
        fused(left[1], right[0], tile[2]),
        fused(left[1], right[1], tile[3]),
        fused(left[2], right[0], tile[4]),
        fused(left[2], right[1], tile[5]),
        fused(left[3], right[0], tile[6]),
        fused(left[3], right[1], tile[7]),
    )


@as_machine_code
def _store_tile(out, at, row, column, tile):
    for i in range(ROWS):
        store(out, at + i * row, tile[2 * i])
        store(out, at + i * row + column, tile[2 * i + 1])


@as_machine_code
def divide(out, at, entries, peak, top, inverse):
    """Divide so many vectors from `at` on by the one at `top` of `peak`, which is no longer zero afterwards."""
    wide, tiny = examples(out), numpy.finfo(out.dtype).tiny
    for example in range(wide):
        peak[top + example] = max(peak[top + example], tiny)
        inverse[example] = 1 / peak[top + example]
    factor = load(inverse, 0)
    for entry in range(at, at + entries * wide, wide):
        store(out, entry, times(load(out, entry), factor))
