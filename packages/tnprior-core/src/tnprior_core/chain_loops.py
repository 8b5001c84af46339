"""The loops of `packed` as machine code: a share of the batch, site after site, several examples in a vector.

All arrays are one-dimensional, for vectors are read from anywhere. A matrix in them is where it begins and how far it
is to the next row and column; its entries are numbers in a core, and vectors of n numbers in a message. Vectors go in
pairs. `packed.Chain` and `packed.Gradients` say what arrays hold.

A share is walked in pieces whose messages stay in the cache of a core. Those of a ring, matrices, are kept from the way
there once per segment of a few sites, and made again on the way back: a product takes less than its way to memory.

Imported by `compiled` alone, where numba is installed.
"""

from __future__ import annotations

import numpy

from tnprior_core.machine import as_machine_code
from tnprior_core.tiles import ROWS, add_outer, divide, examples, multiply, sums
from tnprior_core.vectors import BYTES, fused, largest, load, nothing, plus, store, times

__all__ = [
    "BYTES",
    "ROWS",
    "SEGMENT",
    "WORK",
    "ring_backward",
    "ring_forward",
    "train_backward",
    "train_forward",
]

_PIECE = 5
"""Pairs of vectors that go from site to site together, and share what is read of a core; 64 examples and a total."""
SEGMENT = 4
"""Sites between messages that a ring keeps."""
WORK = 2 + 2 * _PIECE * (SEGMENT + 4)
"""Matrices of vectors that a share of a ring needs for its work."""


@as_machine_code
def ring_forward(chain, mass, first, last):
    """Scales of the messages, and the mass (width,) that is left, of the pairs first to last - 1.

    The messages before each segment go to `chain.kept`.
    """
    sites, rank, wide = len(chain.starts), chain.rank, examples(chain.rows)
    size = rank * rank * wide
    transfer, messages = chain.work[: 2 * size], chain.work[2 * size :]
    for begin in range(first, last, _PIECE):
        vectors = _vectors(chain, begin, last)
        whole = vectors * size
        _write_identities(messages, rank, vectors)
        for site in range(0, sites, SEGMENT):
            if len(chain.kept):
                at = _kept_ring(chain, site, begin)
                chain.kept[at : at + whole] = messages[:whole]
            end = min(site + SEGMENT, sites)
            _ring_messages(chain, site, end, begin, vectors, messages, transfer)
            messages[:whole] = messages[(end - site) * whole : (end - site + 1) * whole]
        for vector in range(vectors):
            trace = nothing(messages)
            for entry in range(rank):
                trace = plus(trace, load(messages, vector * size + entry * (rank + 1) * wide))
            store(mass, (2 * begin + vector) * wide, trace)


@as_machine_code
def ring_backward(chain, gradients, first, last):
    """Gradients of the pairs first to last - 1."""
    sites, rank, wide = len(chain.starts), chain.rank, examples(chain.rows)
    area = rank * rank
    size, end = area * wide, _first_wanted(gradients)
    transfer, environments = chain.work[: 2 * size], chain.work[2 * size : (2 + 2 * _PIECE) * size]
    rights = chain.work[(2 + 2 * _PIECE) * size : (2 + 6 * _PIECE) * size]
    messages = chain.work[(2 + 6 * _PIECE) * size :]
    slope, weighted = _components(chain, 2), _components(chain, 2 * _PIECE)
    gradients.cores[:] = 0
    for begin in range(first, last, _PIECE):
        vectors = _vectors(chain, begin, last)
        whole = vectors * size
        _write_identities(rights, rank, vectors)
        now, then = 0, whole
        for segment in range((sites - 1) // SEGMENT * SEGMENT, -1, -SEGMENT):
            if segment + SEGMENT <= end:
                break
            at = _kept_ring(chain, segment, begin)
            messages[:whole] = chain.kept[at : at + whole]
            after = min(segment + SEGMENT, sites)
            _ring_messages(chain, segment, after - 1, begin, vectors, messages, transfer)
            for site in range(after - 1, max(segment, end) - 1, -1):
                if gradients.row_wanted[site] or gradients.core_wanted[site]:
                    for vector in range(vectors):
                        left, right = ((site - segment) * vectors + vector) * size, now + vector * size
                        multiply(  # its largest entry is of no use, and slopes are written afterwards
                            environments, vector * size, messages, left, wide, rank * wide,
                            rights, right, wide, rank * wide, rank, slope, 0,
                        )  # fmt: skip
                    start, count = chain.starts[site], chain.counts[site]
                    for vector in range(0, vectors, 2):
                        sums(
                            slope, 0, 2 * wide, wide, chain.cores, start * area, area, 1,
                            environments, vector * size, wide, size, _filled(count), area,
                        )  # fmt: skip
                        _weigh(chain, gradients, site, begin, vector, vectors, slope, weighted)
                    if gradients.core_wanted[site]:
                        weighted[count * vectors * wide : _filled(count) * vectors * wide] = 0
                        add_outer(
                            gradients.cores, start * area, weighted, 0, vectors * wide, wide,
                            environments, 0, wide, size, _filled(count), area, vectors,
                        )  # fmt: skip
                if site > end:
                    _ring_step_back(chain, site, begin, vectors, rights, now, then, transfer)
                    now, then = then, now


@as_machine_code
def _ring_messages(chain, site, end, begin, vectors, messages, transfer):
    """Messages (1 + end - site, vectors, m, m, n) from the first of them on, and their scales."""
    rank, wide = chain.rank, examples(chain.rows)
    size, inverse = rank * rank * wide, numpy.empty(wide, messages.dtype)
    for here in range(site, end):
        for vector in range(vectors):
            if vector % 2 == 0:
                _transfers(chain, here, begin + vector // 2, transfer)
            before = ((here - site) * vectors + vector) * size
            after, top = before + vectors * size, here * chain.width + (2 * begin + vector) * wide
            chain.peaks[top : top + wide] = 0
            multiply(
                messages, after, messages, before, rank * wide, wide,
                transfer, vector % 2 * size, rank * wide, wide, rank, chain.peaks, top,
            )  # fmt: skip
            divide(messages, after, rank * rank, chain.peaks, top, inverse)


@as_machine_code
def _ring_step_back(chain, site, begin, vectors, rights, now, then, transfer):
    """The messages from the right at `then` from those at `now`."""
    rank, wide = chain.rank, examples(chain.rows)
    size, inverse, peak = rank * rank * wide, numpy.empty(wide, rights.dtype), numpy.empty(wide, rights.dtype)
    for vector in range(vectors):
        if vector % 2 == 0:
            _transfers(chain, site, begin + vector // 2, transfer)
        peak[:] = 0
        multiply(
            rights, then + vector * size, transfer, vector % 2 * size, rank * wide, wide,
            rights, now + vector * size, rank * wide, wide, rank, peak, 0,
        )  # fmt: skip
        divide(rights, then + vector * size, rank * rank, peak, 0, inverse)


@as_machine_code
def _transfers(chain, site, pair, out):
    """`A = sum_s w[s] Q[s]` of a pair: two matrices of vectors."""
    area, wide, start = chain.rank * chain.rank, examples(chain.rows), chain.starts[site]
    sums(
        out, 0, wide, area * wide, chain.cores, start * area, 1, area,
        chain.rows, start * chain.width + 2 * pair * wide, chain.width, wide, area, chain.counts[site],
    )  # fmt: skip


@as_machine_code
def _kept_ring(chain, site, begin):
    """Where the message before the segment that begins at `site` is kept."""
    return (site // SEGMENT * chain.width + 2 * begin * examples(chain.rows)) * chain.rank * chain.rank


@as_machine_code
def train_forward(chain, mass, first, last):
    """Scales of the messages, and the mass (width,) that is left, of the pairs first to last - 1.

    The messages before each site go to `chain.kept`.
    """
    rank, wide = chain.rank, examples(chain.rows)
    area, size, inverse = rank * rank, rank * wide, numpy.empty(wide, chain.rows.dtype)
    message, weighted = numpy.empty(2 * size, chain.rows.dtype), _components(chain, 2 * rank)
    for pair in range(first, last):
        message[:] = 1
        for site in range(len(chain.starts)):
            start, count = chain.starts[site], chain.counts[site]
            if len(chain.kept):
                at = (site * chain.width + 2 * pair * wide) * rank
                chain.kept[at : at + 2 * size] = message
            for half in range(2):
                _weigh_message(
                    chain.rows, start * chain.width + (2 * pair + half) * wide, chain.width, message, half * size,
                    weighted, half * wide, 2 * wide, count, rank,
                )  # fmt: skip
            sums(
                message, 0, wide, size, chain.cores, start * area, 1, rank,
                weighted, 0, 2 * wide, wide, rank, count * rank,
            )  # fmt: skip
            for half in range(2):
                top = site * chain.width + (2 * pair + half) * wide
                _rescale(message, half * size, rank, chain.peaks, top, inverse)
        for half in range(2):
            total = nothing(message)
            for entry in range(rank):
                total = plus(total, load(message, half * size + entry * wide))
            store(mass, (2 * pair + half) * wide, total)


@as_machine_code
def train_backward(chain, gradients, first, last):
    """Gradients of the pairs first to last - 1."""
    rank, wide = chain.rank, examples(chain.rows)
    area, size, end = rank * rank, rank * wide, _first_wanted(gradients)
    pulled, weighted = _components(chain, 2 * rank), _components(chain, 2 * _PIECE * rank)
    slope, weights = _components(chain, 2), _components(chain, 2 * _PIECE)
    rights = numpy.empty(2 * _PIECE * size, chain.rows.dtype)
    ahead = numpy.empty_like(rights)
    gradients.cores[:] = 0
    for begin in range(first, last, _PIECE):
        pairs = min(_PIECE, last - begin)
        rights[:] = 1
        for site in range(len(chain.starts) - 1, end - 1, -1):
            start, count = chain.starts[site], chain.counts[site]
            ahead[:] = rights
            for pair in range(pairs):
                right, left = 2 * pair * size, (site * chain.width + 2 * (begin + pair) * wide) * rank
                # pulled[s, a] = sum_a' Q[s, a, a'] R[a'] serves both the next message and the gradient of the rows.
                sums(
                    pulled, 0, 2 * wide, wide, chain.cores, start * area, rank, 1,
                    rights, right, wide, size, count * rank, rank,
                )  # fmt: skip
                if gradients.row_wanted[site] or gradients.core_wanted[site]:
                    _train_slope(chain, count, left, pulled, slope)
                    _weigh(chain, gradients, site, begin, 2 * pair, 2 * pairs, slope, weights)
                if gradients.core_wanted[site]:
                    for half in range(2):
                        vector = 2 * pair + half
                        _weigh_message(
                            weights, vector * wide, 2 * pairs * wide, chain.kept, left + half * size,
                            weighted, vector * wide, 2 * pairs * wide, count, rank,
                        )  # fmt: skip
                if site > end:
                    _train_step_back(chain, site, begin + pair, pulled, rights, right)
            if gradients.core_wanted[site]:
                add_outer(
                    gradients.cores, start * area, weighted, 0, 2 * pairs * wide, wide,
                    ahead, 0, wide, size, count * rank, rank, 2 * pairs,
                )  # fmt: skip


@as_machine_code
def _train_slope(chain, count, left, pulled, slope):
    """`d F / d w` (components, 2, n) of a pair, whose message from the left is kept at `left`."""
    rank, wide = chain.rank, examples(chain.rows)
    for component in range(count):
        for half in range(2):
            total = nothing(pulled)
            for entry in range(rank):
                total = fused(
                    load(pulled, ((component * rank + entry) * 2 + half) * wide),
                    load(chain.kept, left + (half * rank + entry) * wide),
                    total,
                )
            store(slope, (component * 2 + half) * wide, total)


@as_machine_code
def _train_step_back(chain, site, pair, pulled, rights, right):
    """The messages from the right of a pair, in the place of those of the site after."""
    rank, wide = chain.rank, examples(chain.rows)
    peak, inverse = numpy.empty(wide, rights.dtype), numpy.empty(wide, rights.dtype)
    for half in range(2):
        weight = chain.starts[site] * chain.width + (2 * pair + half) * wide
        for entry in range(rank):
            message = nothing(rights)
            for component in range(chain.counts[site]):
                message = fused(
                    load(chain.rows, weight + component * chain.width),
                    load(pulled, ((component * rank + entry) * 2 + half) * wide),
                    message,
                )
            store(rights, right + (half * rank + entry) * wide, message)
        _rescale(rights, right + half * rank * wide, rank, peak, 0, inverse)


@as_machine_code
def _weigh_message(weights, at, step, message, first, out, to, out_step, count, rank):
    """`w[s] L[a]` (components, m), vectors `out_step` apart from `to` on."""
    wide = examples(out)
    for component in range(count):
        weight = load(weights, at + component * step)
        for entry in range(rank):
            product = times(weight, load(message, first + entry * wide))
            store(out, to + (component * rank + entry) * out_step, product)


@as_machine_code
def _rescale(message, at, entries, peaks, top, inverse):
    """Divide vectors by the largest of each example."""
    wide = examples(message)
    peak = nothing(message)
    for entry in range(entries):
        peak = largest(peak, load(message, at + entry * wide))
    store(peaks, top, peak)
    divide(message, at, entries, peaks, top, inverse)


@as_machine_code
def _weigh(chain, gradients, site, begin, vector, vectors, slope, weighted):
    """From `d F / d w` (components, 2, n): `d log F / d w` and `w / F`, each times the gradient of `log F`.

    weighted
        (components, vectors, n), of which this vector and the next are written.
    """
    rows, width, start, wide = chain.rows, chain.width, chain.starts[site], examples(chain.rows)
    for example in range(min(2, vectors - vector) * wide):
        column, total = (2 * begin + vector) * wide + example, rows.dtype.type(0)
        for component in range(chain.counts[site]):
            total += slope[component * 2 * wide + example] * rows[(start + component) * width + column]
        # An impossible example has no direction to move in.
        possible = total >= numpy.finfo(rows.dtype).tiny
        coefficient = gradients.mass[column] / total if possible else rows.dtype.type(0)
        for component in range(chain.counts[site]):
            at = (start + component) * width + column
            gradients.rows[at] = slope[component * 2 * wide + example] * coefficient
            weighted[(component * vectors + vector) * wide + example] = rows[at] * coefficient


@as_machine_code
def _first_wanted(gradients):
    for site in range(len(gradients.row_wanted)):
        if gradients.row_wanted[site] or gradients.core_wanted[site]:
            return site
    return len(gradients.row_wanted)


@as_machine_code
def _vectors(chain, begin, last):
    """How many vectors the piece that begins with a pair has: of the last pair of a batch perhaps one."""
    return min(2 * _PIECE, min(2 * last, chain.used) - 2 * begin)


@as_machine_code
def _filled(count):
    """So many components filled up to whole tiles."""
    return -(-count // ROWS) * ROWS


@as_machine_code
def _components(chain, vectors):
    """So many vectors for each component of the site that has the most."""
    return numpy.zeros(_filled(chain.counts.max()) * vectors * examples(chain.rows), chain.rows.dtype)


@as_machine_code
def _write_identities(out, rank, vectors):
    """Begin with so many identity matrices of vectors."""
    wide = examples(out)
    out[: vectors * rank * rank * wide] = 0
    for vector in range(vectors):
        for entry in range(rank):
            at = (vector * rank * rank + entry * (rank + 1)) * wide
            out[at : at + wide] = 1
