"""Drawing all bond indices of a train or ring by halving, where every draw obeys the same evidence.

The product of the transfers over an interval of sites is a table of its two end bonds. Given them, the bond in
the middle has

    p(b | a, c) proportional to A[a, b] C[b, c],

A and C being the products over the two halves. Products are built upwards once, bonds drawn downwards: log2 K
rounds for all sites and all draws together, instead of one round per site.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tnprior_core.parts import Parts
from tnprior_core.tables import cumulate, look_up, numbered

__all__ = ["draw_bonds"]


class _Halves(NamedTuple):
    """Neighbouring products of n pairs, `left` (b, n, a) and `right` (b, n, c), each over `span` sites."""

    left: Tensor
    right: Tensor
    span: int


def draw_bonds(transfers: Tensor, uniform: Tensor, in_parts: Parts, *, closed: bool) -> Tensor:
    """Return bond indices (K + 1, S) int32, from the one before the first site to the one after the last.

    transfers
        (K, m, m), non-negative; smaller matrices filled up with zeros.
    uniform
        (K, S) noise in [0, 1): the first row for the two ends, the others for the bonds between.
    in_parts
        from `parts.parts_for`.

    Only ratios within a row of A and a column of C matter, and products are kept as logarithms: halves of a
    ring that favour different closings cannot underflow.
    """
    count, draws, nodes, span = len(transfers), uniform.shape[1], transfers.log(), 1
    rounds: list[_Halves] = []
    while len(nodes) > 1:
        halves, nodes = _multiply(nodes, span)
        rounds.append(halves)
        span *= 2
    bonds = torch.empty(span + 1, draws, dtype=torch.int32, device=uniform.device)
    bonds[0], end = _draw_ends(nodes[0], uniform[0], closed=closed)
    for halves in rounds:
        # The last pair may reach beyond the chain; wherever it ends, that is the end of the chain.
        bonds[-(-count // (2 * halves.span)) * 2 * halves.span] = end
    bonds[count] = end
    used = 1
    for halves in reversed(rounds):
        pairs = halves.left.shape[1]
        _draw_middles(halves, bonds, uniform[used : used + pairs], in_parts)
        used += pairs
    return bonds[: count + 1]


def _multiply(nodes: Tensor, span: int) -> tuple[_Halves, Tensor]:
    pairs, lowest = len(nodes) // 2, torch.finfo(nodes.dtype).min
    left, right = nodes[0 : 2 * pairs : 2], nodes[1::2]
    row, column = left.amax(2, keepdim=True).clamp_min(lowest), right.amax(1, keepdim=True).clamp_min(lowest)
    left, right = (left - row).exp(), (right - column).exp()
    product = (left @ right).log() + row + column
    product = product - product.amax((1, 2), keepdim=True).clamp_min(lowest)
    halves = _Halves(left.permute(2, 0, 1).contiguous(), right.permute(1, 0, 2).contiguous(), span)
    return halves, torch.cat([product, nodes[2 * pairs :]])


def _draw_ends(node: Tensor, uniform: Tensor, *, closed: bool) -> tuple[Tensor, Tensor]:
    rank = node.shape[0]
    weights = (node - node.max()).exp()
    table = (weights.diagonal() if closed else weights.flatten()).clone().unsqueeze(1)
    cumulate(table)
    state = look_up(table, torch.zeros_like(uniform, dtype=torch.int32), uniform)
    if closed:
        return state, state
    first = torch.div(state, rank, rounding_mode="floor")
    return first, state - first * rank


def _draw_middles(halves: _Halves, bonds: Tensor, uniform: Tensor, in_parts: Parts) -> None:
    rank, pairs, _ = halves.left.shape
    starts, middles, stops = (
        bonds[at :: 2 * halves.span][:pairs] for at in (0, halves.span, 2 * halves.span)
    )
    draws = uniform.shape[1]
    shared = 2 * draws >= rank * rank

    def draw(part: slice) -> None:
        left, right = halves.left[:, part], halves.right[:, part]
        start, stop = numbered(starts[part], rank), stops[part]
        if shared:
            table, column = (left.unsqueeze(3) * right.unsqueeze(2)).flatten(1), (start * rank).add_(stop)
        else:
            table = _columns(left, start) * _columns(right, numbered(stop, rank))
            column = torch.arange(table.shape[1], dtype=torch.int32, device=table.device).view(start.shape)
        cumulate(table)
        middles[part] = look_up(table, column, uniform[part])

    in_parts(draw, pairs, max(draws, rank * (rank * rank if shared else draws) // 4))


def _columns(table: Tensor, index: Tensor) -> Tensor:
    return table.flatten(1).index_select(1, index.flatten())
