"""Tensor rings whose cores are block-diagonal: many small rings, of which every object belongs to one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, final

import torch
from jaxtyping import Float
from torch import Tensor

from tnprior_core.block_chain import BlockFilter, BlockRows, draw_block_states
from tnprior_core.block_masses import place_masses
from tnprior_core.detached import detached
from tnprior_core.distributions.base import SiteDistribution
from tnprior_core.errors import ShapeError
from tnprior_core.legs import Block, Legs, log_total

__all__ = ["BlockRing"]


@final
class BlockRing(SiteDistribution):
    """Tensor ring whose cores are block-diagonal, and whose components are its bond indices.

    `W[s_1 ... s_K] = w_c v[c, u_1] T_1[c, u_1, u_2] T_2[c, u_2, u_3] ... T_{K-1}[c, u_{K-1}, u_K]` where all
    `s_k = c U + u_k` name one place c, zero elsewhere: `Tr(Q_1[s_1] ... Q_K[s_K])` of ranks C, C U, ..., C U. The bond
    that closes the ring carries the place, which is kept all the way round; within a place a point u goes from site to
    site. O(K C U^2) per example, where a ring of that rank in full would cost O(K C^3 U^2). With U = 1 it is a
    `Mixture`, and as there places are added up in log space.

    legs
        every site has C U components, those of place c from c U on.
    log_weight
        (C,) logarithms of the places' weights; they need not sum to one.
    opening
        (C, U), v, non-negative: weights of the points at the first site.
    transitions
        (K - 1, C, U, U), non-negative: number k leads from site `order[k]` to the next.
    order
        `order[k]` is the site at position k of the ring; None for the order of the sites.

    Raises ShapeError where legs, weights and transitions do not fit each other.
    Source: Kuznetsov et al. 2019 (TRIP), equation 3, with cores that are zero but for their blocks.

    >>> from tnprior_core import Gaussian
    >>> legs = Legs.of([Gaussian("z", 2)], {"z": (torch.tensor([-1.0, 1.0]), torch.zeros(2))})
    >>> p = BlockRing(legs, torch.zeros(1), torch.ones(1, 2), torch.empty(0, 1, 2, 2))
    >>> p.mean, p.variance
    (tensor([0.]), tensor([2.]))
    """

    _walks = False

    def __init__(
        self,
        legs: Legs,
        log_weight: Float[Tensor, " C"],
        opening: Float[Tensor, "C U"],
        transitions: Float[Tensor, "_ C U U"],
        *,
        order: Sequence[int] | None = None,
        validate_args: bool | None = None,
    ) -> None:
        """Check that every site has a component for every point of every place."""
        self.order = tuple(range(len(legs.sites))) if order is None else tuple(order)
        self.log_weight, self.opening, self.transitions = log_weight, opening, transitions
        self._check(legs)
        super().__init__(legs, validate_args=validate_args)

    def _check(self, legs: Legs) -> None:
        count, places, points = len(legs.sites), *self.opening.shape
        if sorted(self.order) != list(range(count)):
            raise ShapeError(f"expected each of {count} sites once in `order`, received {list(self.order)}")
        expected = (places,), (count - 1, places, points, points)
        received = tuple(self.log_weight.shape), tuple(self.transitions.shape)
        if expected != received:
            raise ShapeError(
                f"expected log_weight and transitions of shapes {expected} with an opening {(places, points)} and "
                f"{count} sites, received {received}"
            )
        for group in legs.groups:
            if group.states != places * points:
                names = [legs.sites[site].name for site in group.sites]
                raise ShapeError(
                    f"sites {names}: expected {places * points} components, {points} for each of {places} places, "
                    f"received {group.states}"
                )

    def _like(self) -> Tensor:
        return self.log_weight

    def _detached(self) -> Self:
        parts = {"log_weight": self.log_weight, "opening": self.opening, "transitions": self.transitions}
        return self._replaced(**{name: detached(part) for name, part in parts.items()})

    def _log_mass(self, blocks: Sequence[Block]) -> Tensor:
        with self._full_precision():
            masses = place_masses(blocks, self.order, self.opening, self.transitions)
            return log_total(masses + self.log_weight.unsqueeze(1), 0)

    def _filter(self, blocks: Sequence[Block], sites: frozenset[int]) -> BlockFilter:
        return BlockFilter(self._rows(blocks), self.log_weight, self.opening, self.transitions, self.order)

    def _draw_states(self, blocks: Sequence[Block], uniform: Tensor, which: Tensor | None) -> Tensor:
        ring = self.order, self.log_weight, self.opening, self.transitions
        with self._full_precision():
            states = draw_block_states(blocks, *ring, uniform, which)
        return states.index_select(0, torch.as_tensor(self.order, device=states.device).argsort())

    def _rows(self, blocks: Sequence[Block]) -> BlockRows:
        return BlockRows.of(blocks, self.order, places=len(self.log_weight))

    def _full_precision(self) -> torch.autocast:
        """A chain of products in bfloat16 is wrong by a nat, so autocast ends here."""
        return torch.autocast(self.log_weight.device.type, enabled=False)
