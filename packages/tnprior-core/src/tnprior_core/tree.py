"""Drawing all bond indices of a train or ring by halving, where every draw obeys the same evidence.

The product of the transfers over an interval of sites is a table of its two end bonds. Given them, the bond in
the middle has

    p(b | a, c) proportional to A[a, b] C[b, c],

A and C being the products over the two halves. Products are built upwards once, bonds drawn downwards: log2 K
rounds for all sites and all draws together, instead of one round per site.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tnprior_core.compiled import array, kernels
from tnprior_core.parts import Parts
from tnprior_core.scratch import empty
from tnprior_core.tables import cumulate, look_up, look_up_between, numbered

__all__ = ["BondTree"]

_KEPT = 1 << 25
"""Numbers in tables that are kept for the next draws, 128 MiB in single precision."""


@dataclass
class _Halves:
    """Neighbouring products of n pairs, `left` (n, a, b) and `right` (n, c, b), each over `span` sites.

    table
        (n, a c, b) distribution functions of the bonds between, once they are worth their making.
    """

    left: Tensor
    right: Tensor
    span: int
    table: Tensor | None = None


class BondTree:
    """The products of a chain, from the bottom to the top.

    transfers
        (K, m, m), non-negative; smaller matrices filled up with zeros.
    in_parts
        from `parts.parts_for`.

    Only ratios within a row of A and a column of C matter, and products are kept as logarithms: halves of a
    ring that favour different closings cannot underflow.
    """

    def __init__(self, transfers: Tensor, in_parts: Parts, *, closed: bool) -> None:
        """Build the products upwards."""
        self.count, self.rank, self.in_parts, self.closed = *transfers.shape[:2], in_parts, closed
        self.drawn = 0
        self.rounds: list[_Halves] = []
        nodes, span = transfers.log(), 1
        while len(nodes) > 1:
            halves, nodes = _multiply(nodes, span)
            self.rounds.append(halves)
            span *= 2
        weights = (nodes[0] - nodes[0].max()).exp()
        self.ends = (weights.diagonal() if closed else weights.flatten()).clone()
        cumulate(self.ends)

    def prepare(self, draws: int, calls: int = 1) -> None:
        """Get ready for so many draws in so many calls: tabulate what calls after the first draw enough from."""
        each = draws // max(calls, 1)
        # Machine code makes the table of one pair after the other in the cache, which many draws hardly notice.
        passing = kernels(self.ends.device) is not None and each >= 2 * self.rank**2
        if not passing and self._kept(self.drawn + draws - each):
            for halves in self.rounds:
                if halves.table is None:
                    halves.table = self._tabulate(halves)
        self.drawn += draws

    def draw(self, uniform: Tensor) -> Tensor:
        """Return bond indices (K + 1, S) int32, from the one before the first site to the one after the last.

        uniform
            (K, S) noise in [0, 1): the first row for the two ends, the others for the bonds between.

        Changes nothing, so that several threads may draw at once.
        """
        draws, size = uniform.shape[1], 1 << len(self.rounds)
        bonds = empty("bonds", (size + 1, draws), torch.int32, uniform.device)
        bonds[0], end = self._draw_ends(uniform[0])
        for halves in self.rounds:
            # The last pair may reach beyond the chain; wherever it ends, that is the end of the chain.
            bonds[-(-self.count // (2 * halves.span)) * 2 * halves.span] = end
        bonds[self.count] = end
        used = 1
        for halves in reversed(self.rounds):
            pairs = len(halves.left)
            self._draw_middles(halves, bonds, uniform[used : used + pairs])
            used += pairs
        return bonds[: self.count + 1]

    def _draw_ends(self, uniform: Tensor) -> tuple[Tensor, Tensor]:
        state = look_up(self.ends, torch.zeros_like(uniform, dtype=torch.int32), uniform)
        if self.closed:
            return state, state
        first = torch.div(state, self.rank, rounding_mode="floor")
        return first, state - first * self.rank

    def _draw_middles(self, halves: _Halves, bonds: Tensor, uniform: Tensor) -> None:
        rank, pairs, draws = self.rank, len(halves.left), uniform.shape[1]
        starts, middles, stops = (
            bonds[at :: 2 * halves.span][:pairs] for at in (0, halves.span, 2 * halves.span)
        )
        loops = kernels(uniform.device)
        shared = halves.table is not None or 2 * draws >= rank * rank

        def draw(part: slice) -> None:
            left, right = halves.left[part], halves.right[part]
            start, stop, level, middle = starts[part], stops[part], uniform[part], middles[part]
            if not shared:
                table = _rows(left, start) * _rows(right, stop)
                cumulate(table)
                row = torch.arange(len(table), dtype=torch.int32, device=table.device).view(start.shape)
                look_up(table, row, level, out=middle)
            elif halves.table is not None:
                look_up_between(halves.table[part], start, stop, rank, level, middle)
            elif loops is not None:
                loops.draw_middles(*map(array, (left, right, start, stop, level, middle)))
            else:
                table = _products(left, right)
                cumulate(table)
                look_up_between(table, start, stop, rank, level, middle)

        made = rank if halves.table is None and not shared else 4
        self.in_parts(draw, pairs, max(draws * made // 4, rank**3 // 4 if shared else 1))

    def _kept(self, draws: int) -> bool:
        """Whether tables of all pairs of ends are worth keeping, for so many draws besides those of one call.

        They cost as much as rank^2 / 2 draws without them. A single call is faster with tables that are used while
        they are in the cache, and thrown away.
        """
        return 2 * draws >= self.rank**2 and self.count * self.rank**3 <= _KEPT

    def _tabulate(self, halves: _Halves) -> Tensor:
        pairs, rank = len(halves.left), self.rank
        table = halves.left.new_empty(pairs, rank * rank, rank)
        loops = kernels(table.device)

        def fill(part: slice) -> None:
            if loops is not None:
                loops.tabulate_products(*map(array, (halves.left[part], halves.right[part], table[part])))
                return
            products = _products(halves.left[part], halves.right[part])
            cumulate(products)
            table[part] = products

        self.in_parts(fill, pairs, rank**3 // 2)
        return table


def _multiply(nodes: Tensor, span: int) -> tuple[_Halves, Tensor]:
    pairs, lowest = len(nodes) // 2, torch.finfo(nodes.dtype).min
    left, right = nodes[0 : 2 * pairs : 2], nodes[1::2]
    row, column = left.amax(2, keepdim=True).clamp_min(lowest), right.amax(1, keepdim=True).clamp_min(lowest)
    left, right = (left - row).exp(), (right - column).exp()
    product = (left @ right).log() + row + column
    product = product - product.amax((1, 2), keepdim=True).clamp_min(lowest)
    return _Halves(left, right.mT.contiguous(), span), torch.cat([product, nodes[2 * pairs :]])


def _products(left: Tensor, right: Tensor) -> Tensor:
    """`A[a, b] C[b, c]` of every pair, (n, a c, b)."""
    return (left.unsqueeze(2) * right.unsqueeze(1)).flatten(1, 2)


def _rows(table: Tensor, index: Tensor) -> Tensor:
    return table.flatten(0, 1).index_select(0, numbered(index, table.shape[1]).flatten())
