"""Messages along a ring of blocks: states drawn, and the filter of `rsample`.

Arrays of messages are (C, B, U): place, example, point. Places never meet between sites: each has a scale of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tnprior_core.block_masses import place_masses
from tnprior_core.filters import Step, visit
from tnprior_core.legs import Block
from tnprior_core.walk import pick

__all__ = ["BlockFilter", "BlockRows", "draw_block_states"]


class BlockRows(NamedTuple):
    """Weight rows of a ring of blocks.

    rows
        in ring order, each (C, B, U) or (C, 1, U), largest point one in every place and example.
    shifts
        as many, each (C, B) or (C, 1), the logarithm of what was divided out.

    >>> found = BlockRows.of([Block((0,), torch.zeros(1, 5, 6))], (0,), places=2)
    >>> found.rows[0].shape, found.shifts[0].shape
    (torch.Size([2, 5, 3]), torch.Size([2, 5]))
    """

    rows: list[Tensor]
    shifts: list[Tensor]

    @classmethod
    def of(cls, blocks: Sequence[Block], order: Sequence[int], *, places: int) -> BlockRows:
        """Rows (n, B, C U) of log weights, by place."""
        rows: dict[int, Tensor] = {}
        shifts: dict[int, Tensor] = {}
        for block in blocks:
            scaled, peak = _scaled(block.rows.unflatten(2, (places, -1)).transpose(1, 2))
            rows.update(zip(block.sites, scaled.unbind(0), strict=True))
            shifts.update(zip(block.sites, peak.unbind(0), strict=True))
        return cls([rows[site] for site in order], [shifts[site] for site in order])


@torch.no_grad()
def draw_block_states(
    blocks: Sequence[Block],
    order: Sequence[int],
    log_weight: Tensor,
    opening: Tensor,
    transitions: Tensor,
    uniform: Tensor,
    which: Tensor | None,
) -> Tensor:
    """Return component indices (K, S) of S independent draws, in ring order.

    The place first, then point after point given what the sites ahead say: O(K U^2) work per draw after the masses.

    blocks, order, opening, transitions
        as in `place_masses`.
    log_weight
        (C,) logarithms of the places' weights.
    uniform
        (at least K + 1, S) noise in [0, 1).
    which
        (S,) the batch row whose evidence each draw obeys; None where one row serves all of them.

    >>> rows = Block((0, 1), torch.tensor([-torch.inf, 0.0]).expand(2, 1, 2))
    >>> ring = torch.zeros(1), torch.ones(1, 2), torch.ones(1, 1, 2, 2)
    >>> draw_block_states([rows], (0, 1), *ring, torch.rand(3, 3), None)
    tensor([[1, 1, 1],
            [1, 1, 1]])
    """
    joint = (place_masses(blocks, order, opening, transitions) + log_weight.unsqueeze(1)).mT  # (B, C)
    weights = (joint - joint.amax(1, keepdim=True)).exp()
    draws, points = uniform.shape[1], opening.shape[1]
    row = torch.zeros(draws, dtype=torch.long, device=uniform.device) if which is None else which
    place = pick(weights.expand(draws, -1) if len(weights) == 1 else weights.index_select(0, row), uniform[0])
    mine = place.unsqueeze(1) * points + torch.arange(points, device=place.device)  # (S, U)
    found = {site: logs for block in blocks for site, logs in zip(block.sites, block.rows, strict=True)}
    rows = [_scaled(found[site][row.unsqueeze(1) if len(found[site]) > 1 else 0, mine])[0] for site in order]
    moves = transitions[:, place]  # (K - 1, S, U, U)
    ahead = _ahead(rows, moves)
    point = pick(opening[place] * rows[0] * ahead[0], uniform[1])
    states, each = [place * points + point], torch.arange(draws, device=uniform.device)
    for k in range(1, len(rows)):
        point = pick(moves[k - 1, each, point] * rows[k] * ahead[k], uniform[1 + k])
        states.append(place * points + point)
    return torch.stack(states)


def _ahead(rows: Sequence[Tensor], moves: Tensor) -> list[Tensor]:
    """What the sites after each site say of its point, (S, U)."""
    message = torch.ones_like(rows[-1])
    messages = [message]
    for row, move in zip(reversed(rows[1:]), moves.flip(0), strict=True):
        message = (move @ (row * message).unsqueeze(2)).squeeze(2)
        message = message / message.amax(1, keepdim=True).clamp_min(_tiny(message))
        messages.append(message)
    return messages[::-1]


class BlockFilter:
    """The filter of a ring of blocks, see `filters`: a message from the left that meets those from the right.

    For the backward pass it keeps O(K S C U) numbers. The other arguments as in `draw_block_states`.

    >>> rows = BlockRows([torch.ones(1, 1, 2)] * 2, [torch.zeros(1, 1)] * 2)
    >>> moves = torch.eye(2).expand(1, 1, 2, 2)
    >>> found = BlockFilter(rows, torch.zeros(1), torch.ones(1, 2), moves, (0, 1))
    >>> found.weights(0)
    tensor([[0.5000, 0.5000]])
    >>> found.learn(0, torch.tensor([[0.0, -torch.inf]]))
    >>> found.weights(1)
    tensor([[1., 0.]])
    """

    def __init__(
        self,
        found: BlockRows,
        log_weight: Tensor,
        opening: Tensor,
        transitions: Tensor,
        order: Sequence[int],
    ) -> None:
        """Stand before the first site, with the messages from the right of every site."""
        self.order, self.transitions = tuple(order), transitions
        self.rows, self.shifts = found
        self.at = 0
        total = _sum(self.shifts) + log_weight.unsqueeze(1)  # (C, S)
        self.left, self.left_scale = _rescale(opening.unsqueeze(1), total)
        end = torch.ones_like(self.rows[-1])
        rights = [(end, end.new_zeros(end.shape[:2]))]
        for row, transition in zip(reversed(self.rows[1:]), transitions.flip(0), strict=True):
            message, scale = rights[-1]
            rights.append(_rescale((message * row) @ transition.mT, scale))
        self.rights = rights[::-1]

    def weights(self, site: int) -> Tensor:
        """Move to the site, over those between, and weigh its components."""
        while self.order[self.at] != site:
            self._move(self.rows[self.at])
        right, right_scale = self.rights[self.at]
        scale = self.left_scale + right_scale  # (C, S)
        scale = (scale - scale.amax(0)).exp()
        mass = self.left * self.rows[self.at] * right * scale.unsqueeze(2)
        mass = mass.transpose(0, 1).flatten(1)
        return mass / mass.sum(1, keepdim=True).clamp_min(_tiny(mass))

    def learn(self, site: int, log_density: Tensor) -> None:
        """Move over the site with its value."""
        rows, peak = _scaled(log_density.unflatten(1, (len(self.left), -1)).transpose(0, 1))
        self.left_scale = self.left_scale + (peak - self.shifts[self.at])
        self._move(rows)

    def follow(self, sites: frozenset[int], step: Step, draws: int) -> dict[int, Tensor]:
        """Visit the sites one after the other."""
        return visit(self, sites, step)

    def _move(self, row: Tensor) -> None:
        if self.at < len(self.order) - 1:  # nothing is asked after the last
            moved = (self.left * row) @ self.transitions[self.at]
            self.left, self.left_scale = _rescale(moved, self.left_scale)
        self.at += 1


def _sum(shifts: Sequence[Tensor]) -> Tensor:
    """(C, B), or (C, 1) where all are."""
    total = shifts[0]
    for shift in shifts[1:]:
        total = total + shift
    return total


def _rescale(message: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor]:
    """Divide by the largest point; the scale (C, B) is a constant to gradients."""
    peak = message.detach().amax(2, keepdim=True).clamp_min(_tiny(message))
    return message / peak, log_scale + peak.squeeze(2).log()


def _scaled(logs: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (..., U) with a peak of one, and its logarithm (...), a constant to gradients."""
    peak = logs.detach().amax(-1, keepdim=True)
    peak = torch.where(torch.isfinite(peak), peak, torch.zeros_like(peak))
    return (logs - peak).exp(), peak.squeeze(-1)


def _tiny(like: Tensor) -> float:
    return torch.finfo(like.dtype).tiny
