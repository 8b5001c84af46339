"""What the values drawn so far, and all of the evidence, say about the component of the next site.

A filter visits the sites in its order. `weights(site)` are the probabilities of the site's components given the
evidence and the values that were learned, and `learn(site, rows)` adds the site's own value. Both carry gradients:
sampling by the chain rule, made differentiable. `follow` asks both at every site, and keeps less for the backward pass
than it must where that would be a lot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from itertools import pairwise
from math import ceil, isqrt
from typing import Any, Final, Protocol, TypeAlias

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tnprior_core.contract import opening, transfer
from tnprior_core.messages import closing, rescale_rows, right_messages
from tnprior_core.scaled import Scaled

__all__ = ["ChainFilter", "Filter", "Step", "SumFilter", "visit"]

Step: TypeAlias = Callable[[int, Tensor], tuple[Tensor, Tensor]]
"""A site and the probabilities of its components -> a number per draw (S,), and what its value says, (S, N_k)."""

_KEPT: Final = {"cpu": 1 << 24}
_KEPT_ON_DEVICE: Final = 1 << 28
"""Numbers of one message per site and draw that are kept for the backward pass before some are computed twice."""


class Filter(Protocol):
    """The two questions, asked in this order at every site, the sites being visited as `order` says."""

    @property
    def order(self) -> Sequence[int]:
        """The order of the visits; it may name sites that are not visited."""
        ...

    def weights(self, site: int) -> Tensor:
        """Return `p(s_k | values learned, evidence)`, (S or 1, N_k)."""
        ...

    def learn(self, site: int, log_density: Tensor) -> None:
        """Take in the value of this site, `log p(value | s_k)` (S, N_k) up to a constant per draw."""
        ...

    def follow(self, sites: frozenset[int], step: Step, draws: int) -> dict[int, Tensor]:
        """Visit the sites with S draws, learn what `step` says and return its numbers, by site.

        `step` must be a function of its arguments alone: it may be called a second time in the backward pass.
        """
        ...


class SumFilter:
    """The filter of a mixture: the logarithms of its components' joint densities, added up.

    others
        (Be, C), log weights and what is known of sites that are not visited.
    rows
        by visited site, the log-weight rows (Be, C) of what is known of it.

    >>> found = SumFilter(torch.zeros(1, 2), {0: torch.zeros(1, 2), 1: torch.zeros(1, 2)})
    >>> found.learn(0, torch.tensor([[0.0, -torch.inf]]))
    >>> found.weights(1)
    tensor([[1., 0.]])
    """

    def __init__(self, others: Tensor, rows: Mapping[int, Tensor]) -> None:
        """Add up what is known of each site and all those after it."""
        self.order, self.learned = tuple(rows), others
        self.ahead: dict[int, Tensor] = {}
        total = torch.zeros_like(others)
        for site in reversed(self.order):
            total = self.ahead[site] = total + rows[site]

    def weights(self, site: int) -> Tensor:
        """Return the probabilities of the components, (S or 1, C)."""
        return (self.learned + self.ahead[site]).softmax(1)

    def learn(self, site: int, log_density: Tensor) -> None:
        """Let the components explain the value."""
        self.learned = self.learned + log_density

    def follow(self, sites: frozenset[int], step: Step, draws: int) -> dict[int, Tensor]:
        """Visit the sites one after the other."""
        return visit(self, sites, step)


class ChainFilter:
    """The filter of a train or ring: a message from the left that meets those from the right.

    rows, cores
        as in `contract.log_mass`, rows (S, N_k) or (1, N_k).
    order
        the site at each place.

    left, right
        the messages at both ends where the rows and cores are a part of a longer chain.

    `p(s | before, evidence)` is proportional to `w[s] <L, Q[s] R>`, and the value of the site turns `L` into
    `L sum_s p(value | s) Q[s]`. For the backward pass a train keeps O(K S N m) numbers and a ring O(K S m^2). Where
    that is a lot, `follow` keeps the messages at every sqrt(K)-th site alone and computes the others twice, which is
    O(sqrt(K) S m^2), also where every draw has evidence of its own (Chen et al. 2016, "Training deep nets with
    sublinear memory cost").

    >>> rows, cores = [torch.ones(1, 2)] * 2, [torch.eye(2).unsqueeze(1), torch.eye(2).unsqueeze(2)]
    >>> found = ChainFilter(rows, cores, (0, 1), closed=False)
    >>> found.weights(0)
    tensor([[0.5000, 0.5000]])
    >>> found.learn(0, torch.tensor([[0.0, -torch.inf]]))
    >>> found.weights(1)
    tensor([[1., 0.]])
    """

    def __init__(
        self,
        rows: Sequence[Tensor],
        cores: Sequence[Tensor],
        order: Sequence[int],
        *,
        closed: bool,
        left: Scaled | None = None,
        right: Scaled | None = None,
    ) -> None:
        """Stand before the first site."""
        self.rows, self.cores, self.order, self.closed = rows, cores, tuple(order), closed
        self.left = _unscaled(opening(cores[0], closed=closed)) if left is None else left
        self.right = closing(cores[-1], closed=closed) if right is None else right
        self.place = 0
        self.ahead: Tensor | None = None

    @cached_property
    def transfers(self) -> list[Tensor]:
        """`sum_s w[s] Q[s]` of every site, (S or 1, m, m')."""
        return [transfer(row, core) for row, core in zip(self.rows, self.cores, strict=True)]

    @cached_property
    def rights(self) -> list[Scaled]:
        """The messages from the right, from the one before the first site to the one after the last."""
        return right_messages(self.transfers, self.right)

    def follow(self, sites: frozenset[int], step: Step, draws: int) -> dict[int, Tensor]:
        """Visit the sites one after the other, in pieces that are computed again where all of it were too much."""
        count = len(self.cores)
        message = self.left.value.shape[1] * max(core.shape[1] for core in self.cores)
        width = 1 if self.closed else max(core.shape[0] for core in self.cores)
        kept = _KEPT.get(self.cores[0].device.type, _KEPT_ON_DEVICE)
        if count * draws * message * width <= kept or not torch.is_grad_enabled():
            return visit(self, sites, step)
        length = ceil(count / isqrt(count))
        return self._in_pieces([*range(0, count, length), count], sites, step)

    def _in_pieces(self, ends: Sequence[int], sites: frozenset[int], step: Step) -> dict[int, Tensor]:
        """Messages from the right first, then the sites; only what passes from piece to piece is kept."""
        pieces = list(pairwise(ends))
        rights = [self.right]
        for piece in reversed(pieces[1:]):
            rights.append(Scaled(*_again(partial(self._before, piece), *rights[-1])))
        moves: dict[int, Tensor] = {}
        left = self.left
        for piece, right in zip(pieces, reversed(rights), strict=True):
            found, *message = _again(partial(self._within, piece, sites, step), *left, *right)
            moves.update(found)
            left = Scaled(*message)
        return moves

    def _before(self, piece: tuple[int, int], value: Tensor, log_scale: Tensor) -> Scaled:
        """The message from the right that leaves a piece."""
        return self._part(piece, None, Scaled(value, log_scale)).rights[0]

    def _within(
        self, piece: tuple[int, int], sites: frozenset[int], step: Step, *ends: Tensor
    ) -> tuple[dict[int, Tensor], Tensor, Tensor]:
        """What `step` says within a piece, and the message from the left that leaves it."""
        part = self._part(piece, Scaled(*ends[:2]), Scaled(*ends[2:]))
        found = visit(part, sites, step)
        part.pass_over()
        return found, *part.left

    def _part(self, piece: tuple[int, int], left: Scaled | None, right: Scaled) -> ChainFilter:
        own = slice(*piece)
        chain = self.rows[own], self.cores[own], self.order[own]
        return ChainFilter(*chain, closed=self.closed, left=left, right=right)

    def pass_over(self) -> None:
        """Move over the sites that are left."""
        while self.place < len(self.order):
            self._move(self.left.value @ self.transfers[self.place])

    def weights(self, site: int) -> Tensor:
        """Move to the site, over those between, and weigh its components."""
        while self.order[self.place] != site:
            self._move(self.left.value @ self.transfers[self.place])
        mass = self.rows[self.place] * self._meet(self.cores[self.place], self.rights[self.place + 1])
        return mass / mass.sum(1, keepdim=True).clamp_min(torch.finfo(mass.dtype).tiny)

    def learn(self, site: int, log_density: Tensor) -> None:
        """Move over the site with its value."""
        row = (log_density - log_density.detach().amax(1, keepdim=True)).exp()
        if self.ahead is None:
            self._move(self.left.value @ transfer(row, self.cores[self.place]))
        else:
            self._move(row.unsqueeze(1) @ self.ahead)

    def _move(self, left: Tensor) -> None:
        self.left = rescale_rows(left, self.left.log_scale)
        self.place += 1

    def _meet(self, core: Tensor, right: Scaled) -> Tensor:
        """`<L, Q[s] R>` for every s, (S, N), up to a factor per draw."""
        left, closings = self.left.value, self.left.value.shape[1]
        if closings == 1:
            # One row: the products with all components are few, and serve the move as well.
            self.ahead = (left.flatten(0, 1) @ core).transpose(0, 1)  # (S, N, m')
            return (self.ahead @ right.value.mT).squeeze(2)
        self.ahead = None
        scale = self.left.log_scale + right.log_scale
        left = left * (scale - scale.amax(1, keepdim=True)).exp().unsqueeze(2)
        if right.value.shape[0] == 1:
            behind = right.value @ core.mT  # (N, r, m)
            return left.flatten(1) @ behind.flatten(1).mT
        around = left.mT @ right.value  # (S, m, m')
        return around.flatten(1) @ core.flatten(1).mT


def visit(found: Filter, sites: frozenset[int], step: Step) -> dict[int, Tensor]:
    """Visit the sites one after the other, as a filter's `follow` does.

    >>> found = SumFilter(torch.zeros(1, 2), {0: torch.zeros(1, 2)})
    >>> visit(found, frozenset([0]), lambda site, weights: (weights[:, 0], torch.zeros(1, 2)))
    {0: tensor([0.5000])}
    """
    moves: dict[int, Tensor] = {}
    for site in found.order:
        if site in sites:
            moves[site], told = step(site, found.weights(site))
            found.learn(site, told)
    return moves


def _again(work: Callable[..., Any], *inputs: Tensor) -> Any:
    """Do the work now and, if its results get a gradient, a second time then instead of keeping what it computed."""
    return checkpoint(work, *inputs, use_reentrant=False, preserve_rng_state=False)


def _unscaled(value: Tensor) -> Scaled:
    return Scaled(value, value.new_zeros(value.shape[:2]))
