"""The inner loops of sampling as machine code: the same draws as the operations they stand for, bit for bit.

Imported by `compiled` alone, where numba is installed. Each loop is one pass over what it reads and writes, where
operations on tensors take several per halving of a search, and holds no lock of Python's, so that threads do not wait
for each other. All arrays are single or double precision, or int32 indices.
"""

from __future__ import annotations

import numpy
from numba import float32, float64, int32, uint32, uint64

from tnprior_core.machine import as_machine_code

__all__ = ["cumulate_components", "draw_middles", "fractions", "place", "search", "tabulate_products"]

_BLOCK = 512
"""Draws searched side by side: their searches do not wait for each other, and their places stay in the first cache."""


@as_machine_code
def search(table, before, after, width, level, out):
    """`tables.look_up_between`: table (n, R, N), the others (n, S)."""
    sites, rows, outcomes = table.shape
    flat = table.reshape(table.size)
    for site in range(sites):
        _search(flat, uint32(site * rows), outcomes, before[site], after[site], width, level[site], out[site])


@as_machine_code
def draw_middles(left, right, before, after, level, out):
    """Bonds between: left (n, m, m), right (n, m, m), the others (n, S); one pair's table at a time."""
    pairs, rank, _ = left.shape
    table = numpy.empty((rank * rank, rank), left.dtype)
    flat = table.reshape(table.size)
    for pair in range(pairs):
        _cumulate_products(left[pair], right[pair], table)
        _search(flat, uint32(0), rank, before[pair], after[pair], rank, level[pair], out[pair])


@as_machine_code
def tabulate_products(left, right, table):
    """Distribution functions (n, m m, m) of the bonds between: left (n, m, m), right (n, m, m)."""
    for pair in range(len(left)):
        _cumulate_products(left[pair], right[pair], table[pair])


@as_machine_code
def cumulate_components(core, row, table, totals):
    """Distribution functions (n, R, N) of components and their totals (n, R): core (n, N, R), row (n, N)."""
    sites, states, edges = core.shape
    tiny, running = numpy.finfo(table.dtype).tiny, numpy.empty(_BLOCK)
    for site in range(sites):
        for start in range(0, edges, _BLOCK):
            count = min(_BLOCK, edges - start)
            out, total = table[site, start : start + count], running[:count]
            total[:] = 0.0
            for state in range(states):
                given, weight = core[site, state, start : start + count], row[site, state]
                for edge in range(count):
                    total[edge] += float64(given[edge] * weight)
                    out[edge, state] = total[edge]
            for edge in range(count):
                last = out[edge, states - 1]
                totals[site, start + edge] = last
                divisor = max(last, tiny)
                for state in range(states):
                    out[edge, state] /= divisor


@as_machine_code
def place(mean, sigma, states, normal, out):
    """`mu_s + sigma_s eps`: mean and sigma (n, N), the others (n, S)."""
    for site in range(len(states)):
        mu, spread, state, noise, value = mean[site], sigma[site], states[site], normal[site], out[site]
        for draw in range(len(state)):
            component = uint32(state[draw])
            value[draw] = spread[component] * noise[draw] + mu[component]


@as_machine_code
def fractions(states, skipped, block, out):
    """Multiples of 2^-24 in [0, 1), (U, n), from generators SFC64 in these states (B, 4), one per block of columns.

    `out` begins with column `skipped` of the first block. Every raw number makes two, from bits 8 to 31 and 40 to 63 as
    signed fractions about a half. Source: PractRand by Chris Doty-Humphrey, as `numpy.random.SFC64`.
    """
    for index in range(len(states)):
        a, b, c, counter = states[index]
        begin = index * block - skipped
        first, last = max(begin, 0), min(begin + block, out.shape[1])
        for row in range(len(out)):
            target = out[row]
            for pair in range(begin, begin + block, 2):
                raw = a + b + counter
                counter += uint64(1)
                a = b ^ (b >> uint64(11))
                b = c + (c << uint64(3))
                c = ((c << uint64(24)) | (c >> uint64(40))) + raw
                if first <= pair < last:
                    target[pair] = _fraction(raw)
                if first <= pair + 1 < last:
                    target[pair + 1] = _fraction(raw >> uint64(32))


@as_machine_code
def _fraction(raw):
    return float32(0.5) + float32(int32(uint32(raw)) >> 8) * float32(2.0**-24)


@as_machine_code
def _search(flat, first, outcomes, before, after, width, level, out):
    """One site's draws (S,), whose rows start at row `first` of the table: each halving for a block of them in turn."""
    # Unsigned, for which numba need not ask whether an index counts from the end.
    size, step = uint32(outcomes), uint32(width)
    places = numpy.empty(_BLOCK, numpy.uint32)
    for start in range(0, len(level), _BLOCK):
        count = min(_BLOCK, len(level) - start)
        goal, found = level[start : start + count], out[start : start + count]
        one, other, at = before[start : start + count], after[start : start + count], places[:count]
        for i in range(count):
            at[i] = (first + uint32(one[i]) * step + uint32(other[i])) * size
        left = outcomes
        while left > 1:
            half = left // 2
            probes, stride = flat[half - 1 :], uint32(half)
            for i in range(count):
                at[i] = uint32(at[i] + (stride if probes[at[i]] <= goal[i] else uint32(0)))
            left -= half
        for i in range(count):
            found[i] = int32(at[i] - (first + uint32(one[i]) * step + uint32(other[i])) * size)


@as_machine_code
def _cumulate_products(left, right, table):
    """`A[a, b] C[c, b]` (m m, m) as distribution functions over b: left (m, m), right (m, m)."""
    rank = len(left)
    tiny, running = numpy.finfo(table.dtype).tiny, numpy.empty(rank)
    turned = right.T.copy()  # the sums of all c grow side by side
    for a in range(rank):
        rows = table[a * rank : (a + 1) * rank]
        running[:] = 0.0
        for b in range(rank):
            factor, others = left[a, b], turned[b]
            for c in range(rank):
                running[c] += float64(factor * others[c])
                rows[c, b] = running[c]
        for c in range(rank):
            out = rows[c]
            divisor = max(out[rank - 1], tiny)
            for b in range(rank):
                out[b] /= divisor
