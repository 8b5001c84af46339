"""What the values drawn so far, and all of the evidence, say about the component of the next site.

A filter visits the sites in its order. `weights(site)` are the probabilities of the site's components given the
evidence and the values that were learned, and `learn(site, rows)` adds the site's own value. Both carry gradients:
sampling by the chain rule, made differentiable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from tnprior_core.contract import opening, transfer
from tnprior_core.messages import rescale_rows, right_messages
from tnprior_core.scaled import Scaled

__all__ = ["ChainFilter", "Filter", "SumFilter"]


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


class ChainFilter:
    """The filter of a train or ring: a message from the left that meets those from the right.

    rows, cores
        as in `contract.log_mass`, rows (S, N_k) or (1, N_k).
    order
        the site at each place.

    `p(s | before, evidence)` is proportional to `w[s] <L, Q[s] R>`, and the value of the site turns `L` into
    `L sum_s p(value | s) Q[s]`. A train keeps O(K S N m) numbers for the backward pass, a ring O(K S m^2).

    >>> rows, cores = [torch.ones(1, 2)] * 2, [torch.eye(2).unsqueeze(1), torch.eye(2).unsqueeze(2)]
    >>> found = ChainFilter(rows, cores, (0, 1), closed=False)
    >>> found.weights(0)
    tensor([[0.5000, 0.5000]])
    >>> found.learn(0, torch.tensor([[0.0, -torch.inf]]))
    >>> found.weights(1)
    tensor([[1., 0.]])
    """

    def __init__(
        self, rows: Sequence[Tensor], cores: Sequence[Tensor], order: Sequence[int], *, closed: bool
    ) -> None:
        """Send the messages from the right."""
        self.rows, self.cores, self.order = rows, cores, tuple(order)
        self.transfers = [transfer(row, core) for row, core in zip(rows, cores, strict=True)]
        self.rights = right_messages(self.transfers, cores, closed=closed)
        start = opening(cores[0], closed=closed)
        self.left = Scaled(start, start.new_zeros(1, start.shape[1]))
        self.place = 0
        self.ahead: Tensor | None = None

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
