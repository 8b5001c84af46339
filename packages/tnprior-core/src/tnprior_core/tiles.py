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
            _multiply_tile(
                out, at + (i * rank + j) * wide, rank * wide, wide,
                left, first + i * left_row, left_row, left_column,
                right, second + j * right_column, right_row, right_column,
                rank, peak, top,
            )  # fmt: skip


@as_machine_code
def _multiply_tile(
    out,
    at,
    out_row,
    out_column,
    left,
    l,
    left_row,
    left_column,
    right,
    r,
    right_row,
    right_column,
    inner,
    peak,
    top,
):
    c00 = c01 = c10 = c11 = c20 = c21 = c30 = c31 = nothing(out)
    for _ in range(inner):
        r0, r1 = load(right, r), load(right, r + right_column)
        l0, l1 = load(left, l), load(left, l + left_row)
        c00, c01, c10, c11 = fused(l0, r0, c00), fused(l0, r1, c01), fused(l1, r0, c10), fused(l1, r1, c11)
        l2, l3 = load(left, l + 2 * left_row), load(left, l + 3 * left_row)
        c20, c21, c30, c31 = fused(l2, r0, c20), fused(l2, r1, c21), fused(l3, r0, c30), fused(l3, r1, c31)
        l += left_column
        r += right_row
    _store_row(out, at, out_column, c00, c01)
    _store_row(out, at + out_row, out_column, c10, c11)
    _store_row(out, at + 2 * out_row, out_column, c20, c21)
    _store_row(out, at + 3 * out_row, out_column, c30, c31)
    upper = largest(largest(c00, c01), largest(c10, c11))
    lower = largest(largest(c20, c21), largest(c30, c31))
    store(peak, top, largest(load(peak, top), largest(upper, lower)))


@as_machine_code
def sums(
    out,
    at,
    out_row,
    out_column,
    left,
    first,
    left_row,
    left_column,
    right,
    second,
    right_row,
    right_column,
    rows,
    inner,
):
    """`out[i, j] = sum_k left[i, k] right[k, j]` for `rows` rows and two columns: numbers on the left, vectors else."""
    for i in range(0, rows, ROWS):
        l, r, o = first + i * left_row, second, at + i * out_row
        c00 = c01 = c10 = c11 = c20 = c21 = c30 = c31 = nothing(out)
        for _ in range(inner):
            r0, r1 = load(right, r), load(right, r + right_column)
            l0, l1 = spread(left, l), spread(left, l + left_row)
            c00, c01, c10, c11 = (
                fused(l0, r0, c00),
                fused(l0, r1, c01),
                fused(l1, r0, c10),
                fused(l1, r1, c11),
            )
            l2, l3 = spread(left, l + 2 * left_row), spread(left, l + 3 * left_row)
            c20, c21, c30, c31 = (
                fused(l2, r0, c20),
                fused(l2, r1, c21),
                fused(l3, r0, c30),
                fused(l3, r1, c31),
            )
            l += left_column
            r += right_row
        _store_row(out, o, out_column, c00, c01)
        _store_row(out, o + out_row, out_column, c10, c11)
        _store_row(out, o + 2 * out_row, out_column, c20, c21)
        _store_row(out, o + 3 * out_row, out_column, c30, c31)


@as_machine_code
def _store_row(out, at, out_column, one, other):
    store(out, at, one)
    store(out, at + out_column, other)


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


@as_machine_code
def add_outer(
    out, at, left, first, left_row, left_step, right, second, right_row, right_step, rows, columns, steps
):
    """`out[i, j] += sum_v total(left[i, v] right[j, v])` for numbers `out` (rows, columns), contiguous from `at` on."""
    for i in range(0, rows, ROWS):
        for j in range(0, columns, 2):
            l, r, o = first + i * left_row, second + j * right_row, at + i * columns + j
            c00 = c01 = c10 = c11 = c20 = c21 = c30 = c31 = nothing(left)
            for _ in range(steps):
                r0, r1 = load(right, r), load(right, r + right_row)
                l0, l1 = load(left, l), load(left, l + left_row)
                c00, c01, c10, c11 = (
                    fused(l0, r0, c00),
                    fused(l0, r1, c01),
                    fused(l1, r0, c10),
                    fused(l1, r1, c11),
                )
                l2, l3 = load(left, l + 2 * left_row), load(left, l + 3 * left_row)
                c20, c21, c30, c31 = (
                    fused(l2, r0, c20),
                    fused(l2, r1, c21),
                    fused(l3, r0, c30),
                    fused(l3, r1, c31),
                )
                l += left_step
                r += right_step
            _add_totals(out, o, c00, c01)
            _add_totals(out, o + columns, c10, c11)
            _add_totals(out, o + 2 * columns, c20, c21)
            _add_totals(out, o + 3 * columns, c30, c31)


@as_machine_code
def _add_totals(out, at, one, other):
    out[at] += total(one)
    out[at + 1] += total(other)
