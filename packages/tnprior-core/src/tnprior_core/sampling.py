"""Exact sampling of a train or ring through its bond indices.

Non-negative cores make the network a latent-variable model whose hidden states are the bond indices. Draw all
bonds first, then every component from

    p(s | a, a') proportional to w_k[s] Q_k[s, a, a'].

Draws that share their evidence find their bonds by halving (`tree`), draws with evidence of their own one site
after the other (`walk`). O(K (log m + log N)) work per sample once the tables stand, against O(K m^3) for the chain
rule over components.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tnprior_core.compiled import array, kernels
from tnprior_core.neighbours import rows_of, write_rows
from tnprior_core.parts import parts_for
from tnprior_core.scratch import empty
from tnprior_core.tables import cumulate, look_up_between
from tnprior_core.tree import BondTree
from tnprior_core.walk import pick, walk_states

__all__ = ["SharedSampler", "draw_states", "pick"]


class _Alike(NamedTuple):
    """Sites with cores of one shape: distribution functions (n, m m', N) of their components, given both bonds."""

    sites: list[int]
    table: Tensor
    width: int


def draw_states(
    rows: Sequence[Tensor], cores: Sequence[Tensor], uniform: Tensor, which: Tensor | None, *, closed: bool
) -> Tensor:
    """Return component indices (K, S) int32 of S independent draws, one column each.

    rows, cores
        as in `contract.log_mass`: weight rows (B, N_k) or (1, N_k), cores (N_k, m_k, m_{k+1}).
    uniform
        (at least 2 K + 1, S) noise in [0, 1): the ends, the bonds, the components. Column i alone decides draw i.
    which
        (S,) the batch row whose evidence each draw obeys; None where one row serves all of them.

    >>> rows, cores = [torch.ones(1, 2)] * 3, [torch.ones(2, 1, 1)] * 3
    >>> draw_states(rows, cores, torch.rand(7, 5), None, closed=False).shape
    torch.Size([3, 5])
    """
    if which is None:
        sampler = SharedSampler(rows, cores, closed=closed)
        sampler.prepare(uniform.shape[1])
        return sampler.draw(uniform)
    with torch.no_grad():
        return walk_states(rows, cores, uniform, which, closed=closed)


class SharedSampler:
    """The tables of draws that share their evidence; they depend on no draw and serve as many as are asked for.

    rows, cores
        weight rows (1, N_k) and cores (N_k, m_k, m_{k+1}).

    Made ready by `prepare`, several threads may `draw` at once.

    >>> sampler = SharedSampler([torch.ones(1, 2)] * 3, [torch.ones(2, 1, 1)] * 3, closed=True)
    >>> sampler.draw(torch.rand(7, 5)).shape
    torch.Size([3, 5])
    """

    @torch.no_grad()
    def __init__(self, rows: Sequence[Tensor], cores: Sequence[Tensor], *, closed: bool) -> None:
        """Tabulate the components, and multiply the transfers, the smaller ones filled up with zeros."""
        self.count = len(cores)
        self.in_parts = parts_for(cores[0].device)
        by_shape: defaultdict[torch.Size, list[int]] = defaultdict(list)
        for site, core in enumerate(cores):
            by_shape[core.shape].append(site)
        rank = max(max(core.shape[1:]) for core in cores)
        transfers = cores[0].new_zeros(self.count, rank, rank)
        self.groups: list[_Alike] = []
        for (_, before, after), sites in by_shape.items():
            alike, totals = self._tabulate(sites, rows, cores)
            transfers[alike.sites, :before, :after] = totals.view(-1, before, after)
            self.groups.append(alike)
        self.tree = BondTree(transfers, self.in_parts, closed=closed)

    @torch.no_grad()
    def prepare(self, draws: int, calls: int = 1) -> None:
        """Get ready for so many draws in so many calls, see `BondTree.prepare`."""
        self.tree.prepare(draws, calls)

    @torch.no_grad()
    def draw(self, uniform: Tensor) -> Tensor:
        """Return component indices (K, S) int32 from noise (at least 2 K + 1, S), as `draw_states`."""
        count = self.count
        states = empty("states", (count, uniform.shape[1]), torch.int32, uniform.device)
        bonds = self.tree.draw(uniform[:count])
        for alike in self.groups:
            self._draw_components(alike, bonds, uniform[count + 1 : 2 * count + 1], states)
        return states

    def _tabulate(
        self, sites: list[int], rows: Sequence[Tensor], cores: Sequence[Tensor]
    ) -> tuple[_Alike, Tensor]:
        """Tables of sites with cores of one shape, and their totals: the sum over components is the transfer."""
        states, before, after = cores[sites[0]].shape
        table = cores[0].new_empty(len(sites), before * after, states)
        totals = table.new_empty(len(sites), before * after)
        loops = kernels(table.device)

        def fill(part: slice) -> None:
            core = torch.stack([cores[k].flatten(1) for k in sites[part]])
            row = torch.cat([rows[k] for k in sites[part]])
            if loops is not None:
                loops.cumulate_components(*map(array, (core, row, table[part], totals[part])))
                return
            weights = core.mT.contiguous().mul_(row.unsqueeze(1))
            totals[part] = cumulate(weights)
            table[part] = weights

        self.in_parts(fill, len(sites), table[0].numel() // 2)
        return _Alike(sites, table, after), totals

    def _draw_components(self, alike: _Alike, bonds: Tensor, uniform: Tensor, states: Tensor) -> None:
        """Draw the components of some sites, given the bonds (K + 1, S), into their rows of `states` (K, S)."""

        def draw(part: slice) -> None:
            sites, table = alike.sites[part], alike.table[part]
            before, after = rows_of(bonds, sites), rows_of(bonds[1:], sites)
            target = rows_of(states, sites)
            look_up_between(table, before, after, alike.width, rows_of(uniform, sites), target)
            write_rows(states, sites, target)

        self.in_parts(draw, len(alike.sites), bonds.shape[1])
