"""Tensor-train and tensor-ring distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self, final

import torch
from jaxtyping import Float
from torch import Tensor

from tnprior_core.contract import log_mass
from tnprior_core.detached import detached
from tnprior_core.distributions.base import SiteDistribution
from tnprior_core.errors import ShapeError
from tnprior_core.filters import ChainFilter
from tnprior_core.legs import Block, Legs
from tnprior_core.sampling import SharedSampler, draw_states

__all__ = ["TensorRing", "TensorTrain"]


class _Network(SiteDistribution):
    closed: ClassVar[bool]

    def __init__(
        self,
        legs: Legs,
        cores: Sequence[Float[Tensor, "_ _ _"]],
        *,
        order: Sequence[int] | None = None,
        validate_args: bool | None = None,
    ) -> None:
        """Take non-negative cores (N_k, m_k, m_{k+1}) in chain order; `order[j]` is the site at place j."""
        self.cores = tuple(cores)
        self.order = tuple(range(len(self.cores))) if order is None else tuple(order)
        self._sampler: SharedSampler | None = None
        _check_chain(legs, self.cores, self.order, closed=self.closed)
        super().__init__(legs, validate_args=validate_args)

    def _like(self) -> Tensor:
        return self.cores[0]

    def _detached(self) -> Self:
        return self._replaced(cores=tuple(map(detached, self.cores)))

    def _log_mass(self, blocks: Sequence[Block]) -> Tensor:
        rows, shift = self._rows(blocks)
        with self._full_precision():
            return log_mass(rows, self.cores, closed=self.closed) + shift

    def _filter(self, blocks: Sequence[Block], sites: frozenset[int]) -> ChainFilter:
        return ChainFilter(self._rows(blocks)[0], self.cores, self.order, closed=self.closed)

    def _prepare_draws(self, blocks: Sequence[Block], draws: int, calls: int) -> None:
        with self._full_precision():
            self._shared_sampler(blocks).prepare(draws, calls)

    @property
    def _table_size(self) -> int:
        return sum(core.numel() for core in self.cores) if self._sampler is None else 0

    def _draw_states(self, blocks: Sequence[Block], uniform: Tensor, which: Tensor | None) -> Tensor:
        with self._full_precision():
            if which is None:
                states = self._shared_sampler(blocks).draw(uniform)
            else:
                states = draw_states(self._rows(blocks)[0], self.cores, uniform, which, closed=self.closed)
        place = torch.empty(len(self.order), dtype=torch.long, device=states.device)
        place[list(self.order)] = torch.arange(len(self.order), device=states.device)
        return states if self.order == tuple(range(len(self.order))) else states.index_select(0, place)

    def _shared_sampler(self, blocks: Sequence[Block]) -> SharedSampler:
        """The tables for draws that share what is known; made once, for this distribution never changes."""
        if self._sampler is None:
            self._sampler = SharedSampler(self._rows(blocks)[0], self.cores, closed=self.closed)
        return self._sampler

    def _replaced(self, **changes: object) -> Self:
        return super()._replaced(_sampler=None, **changes)

    def _full_precision(self) -> torch.autocast:
        """A chain of a hundred products in bfloat16 is wrong by a nat, so autocast ends here."""
        return torch.autocast(self.cores[0].device.type, enabled=False)

    def _rows(self, blocks: Sequence[Block]) -> tuple[list[Tensor], Tensor]:
        """Weight rows in chain order, each with a peak of one, and the log of what was divided out."""
        by_site: dict[int, Tensor] = {}
        shift = self.cores[0].new_zeros(())
        for block in blocks:
            peak = block.rows.detach().amax(2, keepdim=True)
            peak = torch.where(torch.isfinite(peak), peak, torch.zeros_like(peak))
            by_site.update(zip(block.sites, (block.rows - peak).exp().unbind(0), strict=True))
            shift = shift + peak.sum((0, 2))
        return [by_site[site] for site in self.order], shift


@final
class TensorTrain(_Network):
    """Distribution whose weights are a non-negative tensor train, `W[s] = 1^T Q_1[s_1] ... Q_K[s_K] 1`.

    legs
        the sites and their components.
    cores
        K non-negative tensors (N_k, m_k, m_{k+1}); the boundary vectors are ones of sizes m_1 and m_{K+1}.
    order
        `order[j]` is the site that core j belongs to; None for the order of the sites.

    Raises ShapeError when cores do not fit each other or their sites.
    Source: Kuznetsov et al. 2019 (VAE-TTLP), equations 1-4.

    >>> from tnprior_core import Categorical, Legs
    >>> legs = Legs.of([Categorical("a"), Categorical("b")], {})
    >>> p = TensorTrain(legs, [torch.tensor([[[1.0]], [[3.0]]]), torch.ones(2, 1, 1)])
    >>> p.marginal("a").probs
    tensor([0.2500, 0.7500])
    """

    closed = False


@final
class TensorRing(_Network):
    """Distribution whose weights are a non-negative tensor ring, `W[s] = Tr(Q_1[s_1] ... Q_K[s_K])`.

    legs
        the sites and their components.
    cores
        K non-negative tensors (N_k, m_k, m_{k+1}) with m_{K+1} = m_1.
    order
        `order[j]` is the site that core j belongs to; None for the order of the sites.

    Raises ShapeError when cores do not fit each other or their sites.
    Source: Kuznetsov et al. 2019 (TRIP), equations 1-3.

    >>> from tnprior_core import Categorical, Legs
    >>> legs = Legs.of([Categorical("a"), Categorical("b")], {})
    >>> same = torch.eye(2).unsqueeze(2) * torch.eye(2).unsqueeze(1)
    >>> TensorRing(legs, [same, same]).log_prob(torch.tensor([[0.0, 0.0], [0.0, 1.0]])).exp()
    tensor([0.5000, 0.0000])
    """

    closed = True


def _check_chain(legs: Legs, cores: Sequence[Tensor], order: Sequence[int], *, closed: bool) -> None:
    if sorted(order) != list(range(len(legs.sites))) or len(cores) != len(order):
        raise ShapeError(
            f"expected one core for each of {len(legs.sites)} sites, received {len(cores)} in order {order}"
        )
    shapes = [tuple(core.shape) for core in cores]
    for shape, index in zip(shapes, order, strict=True):
        group, _ = legs.where[index]
        if len(shape) != 3 or shape[0] != group.states or 0 in shape:
            raise ShapeError(
                f"site {legs.sites[index].name!r}: expected a core ({group.states}, m, m'), received {shape}"
            )
    followers = [*shapes[1:], shapes[0]] if closed else shapes[1:]
    for shape, follower, index in zip(shapes, followers, order, strict=False):
        if shape[2] != follower[1]:
            raise ShapeError(
                f"site {legs.sites[index].name!r}: its core {shape} does not fit the next one, {follower}"
            )
