"""Mixtures of full-dimensional diagonal components: diagonal cores, contracted in log space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, final

from jaxtyping import Float
from torch import Tensor

from tnprior_core.detached import detached
from tnprior_core.distributions.base import SiteDistribution
from tnprior_core.errors import ShapeError
from tnprior_core.filters import SumFilter
from tnprior_core.legs import Block, Legs, log_total
from tnprior_core.sampling import pick

__all__ = ["Mixture"]


@final
class Mixture(SiteDistribution):
    """Mixture `p(v) = sum_c pi_c prod_k p_k(v_k | c)` of C components that factorise over the sites.

    A tensor train or ring with diagonal cores; since a component that falls behind at one end of the chain may
    win at the other, it is summed in log space, where nothing underflows.

    legs
        every site has C components: normal densities, or label probabilities (`LabelLegs.log_emission`).
    log_weight
        (C,) logarithms of weights; they need not sum to one.

    >>> import torch
    >>> from tnprior_core import Gaussian, Legs
    >>> legs = Legs.of([Gaussian("z", 1)], {"z": (torch.zeros(1), torch.zeros(1))})
    >>> Mixture(legs, torch.zeros(1)).log_prob(torch.zeros(1))
    tensor(-0.9189)
    """

    _walks = False

    def __init__(
        self, legs: Legs, log_weight: Float[Tensor, " C"], *, validate_args: bool | None = None
    ) -> None:
        """Check that every site has C components."""
        for group in legs.groups:
            if group.states != log_weight.shape[0]:
                names = [legs.sites[site].name for site in group.sites]
                raise ShapeError(
                    f"sites {names}: expected {log_weight.shape[0]} components, received {group.states}"
                )
        self.log_weight = log_weight
        super().__init__(legs, validate_args=validate_args)

    def _like(self) -> Tensor:
        return self.log_weight

    def _detached(self) -> Self:
        return self._replaced(log_weight=detached(self.log_weight))

    def _joint(self, blocks: Sequence[Block]) -> Tensor:
        total: Tensor = self.log_weight.unsqueeze(0)
        for block in blocks:
            total = total + block.rows.sum(0)
        return total

    def _log_mass(self, blocks: Sequence[Block]) -> Tensor:
        return log_total(self._joint(blocks), 1)

    def _filter(self, blocks: Sequence[Block], sites: frozenset[int]) -> SumFilter:
        others: Tensor = self.log_weight.unsqueeze(0)
        rows: dict[int, Tensor] = {}
        for block in blocks:
            visited = [site in sites for site in block.sites]
            if not any(visited):
                others = others + block.rows.sum(0)
                continue
            for site, row, own in zip(block.sites, block.rows.unbind(0), visited, strict=True):
                if own:
                    rows[site] = row
                else:
                    others = others + row
        return SumFilter(others, dict(sorted(rows.items())))

    def _draw_states(self, blocks: Sequence[Block], uniform: Tensor, which: Tensor | None) -> Tensor:
        joint = self._joint(blocks)
        weights = (joint - joint.amax(1, keepdim=True)).exp()
        level = uniform[0]
        if weights.shape[0] == 1:
            weights = weights.expand(level.shape[0], -1)
        elif which is not None:
            weights = weights.index_select(0, which)
        return pick(weights, level).expand(len(self.legs.sites), -1)
