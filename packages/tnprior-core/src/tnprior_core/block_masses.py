"""Masses of the places of a ring of blocks, and their gradients from one walk back.

Messages are (C, U, B), the batch last: the largest point and products with a place's scale are then sums and products
of rows of numbers. Where `L` from the left meets `R` from the right behind site k, `F = sum_u L[u] R[u]` and

    d log F / d log w_k[u] = L[u] R[u] / F        d log F / d T_k[u, v] = L[u] w_{k+1}[v] R'[v] / F.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tnprior_core.legs import Block
from tnprior_core.scaled import Scaled, reciprocal, rescale
from tnprior_core.scratch import Loan

__all__ = ["place_masses"]


def place_masses(
    blocks: Sequence[Block], order: Sequence[int], opening: Tensor, transitions: Tensor
) -> Tensor:
    """Return the log mass (C, B) of every place, the places' own weights left out.

    blocks
        log-weight rows of all sites, (n, B, C U) or (n, 1, C U).
    order
        the site at every position of the ring.
    opening
        (C, U) weights of the points at the first site.
    transitions
        (K - 1, C, U, U), from each site to the next.

    Minus infinity, with gradient zero, where a place is impossible. Differentiable once.

    >>> rows = Block((0, 1), torch.zeros(2, 1, 2))
    >>> place_masses([rows], (0, 1), torch.ones(1, 2), torch.eye(2).expand(1, 1, 2, 2)).exp()
    tensor([[2.]])
    """
    where = {site: (number, at) for number, block in enumerate(blocks) for at, site in enumerate(block.sites)}
    rows, places = [block.rows for block in blocks], [where[site] for site in order]
    walked = _walked([blocks[number].free for number, _ in places], _batch(rows), opening.shape[1])
    opening, transitions, log_scale = _without_gaps(opening, transitions, walked)
    recorded = torch.is_grad_enabled() and any(x.requires_grad for x in (opening, transitions, *rows))
    met = [places[k] for k in walked]
    result: Tensor = _PlaceMasses.apply(met, recorded, opening, transitions, *rows)
    return result if log_scale is None else result + log_scale.unsqueeze(1)


def _walked(free: Sequence[bool], batch: int, points: int) -> list[int]:
    """Positions that every example walks through; what is free at the ends, or between for many, is summed out.

    A product of two transitions costs as much as `points` examples do: a few are quicker through the gap.
    """
    known = [k for k, nothing in enumerate(free) if not nothing] or [len(free) - 1]
    return known if batch > points else list(range(known[0], known[-1] + 1))


def _without_gaps(
    opening: Tensor, transitions: Tensor, walked: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Sum out the positions that nobody walks through, once for all examples.

    Returns the opening (C, U) and the transitions (n - 1, C, U, U) of the n others, and the logarithm (C,) of what was
    divided out, None where all are walked through.
    """
    if len(walked) == len(transitions) + 1:
        return opening, transitions, None
    first, last = walked[0], walked[-1]
    start = _product(opening.unsqueeze(1), transitions[:first])
    moves = [_product(transitions[a], transitions[a + 1 : b]) for a, b in pairwise(walked)]
    end = _product(torch.ones_like(opening).unsqueeze(1), transitions[last:].flip(0).mT)
    log_scale = sum((move.log_scale for move in moves), start.log_scale + end.log_scale)
    # The weights behind the last position belong to what leads there.
    steps = [start.value, *(move.value for move in moves)]
    steps[-1] = steps[-1] * end.value
    return steps[0].squeeze(1), torch.stack(steps[1:]) if moves else transitions[:0], log_scale


def _product(left: Tensor, transitions: Tensor) -> Scaled:
    """Products `left T_1 T_2 ...`, (C, *, U), of any length: what grows or fades goes to the logarithm."""
    value, log_scale = rescale(left)
    for transition in transitions:
        value, scale = rescale(value @ transition)
        log_scale = log_scale + scale
    return Scaled(value, log_scale)


class _PlaceMasses(torch.autograd.Function):
    """Rows come by blocks and so do their gradients: autograd has nothing to take apart or to stack."""

    @staticmethod
    def forward(
        ctx: Any,
        at: list[tuple[int, int]],
        recorded: bool,
        opening: Tensor,
        transitions: Tensor,
        *rows: Tensor,
    ) -> Tensor:
        batch = _batch(rows)
        total, message = opening.new_zeros(len(opening), batch), opening.unsqueeze(2).expand(-1, -1, batch)
        # A way back needs what was met at all sites, fresh memory for which costs more than what is written there.
        ctx.loan = Loan((2, len(at) if recorded else 2, *message.shape), opening)
        weights, messages = ctx.loan.tensor
        for k, (number, position) in enumerate(at):
            place = k % len(weights)
            shift = _weigh(rows[number][position], weights[place])
            if k == 0:
                message = torch.mul(message, weights[0], out=messages[0])
            else:
                message = torch.bmm(transitions[k - 1].mT, message, out=messages[place]).mul_(weights[place])
            total += _shrink(message).log_() + shift
        ctx.at, ctx.kinds = at, [(row.shape, row.mT.is_contiguous()) for row in rows]
        ctx.save_for_backward(opening, transitions)
        return message.sum(1).log() + total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (opening, transitions), (weights, messages), count = ctx.saved_tensors, ctx.loan.tensor, len(ctx.at)
        _, _, of_opening, of_transitions, *of_rows = ctx.needs_input_grad
        row_grads = [
            _empty(shape, batch_last, opening) if want else None
            for (shape, batch_last), want in zip(ctx.kinds, of_rows, strict=True)
        ]
        moves = torch.empty_like(transitions) if of_transitions else None
        right = torch.ones_like(messages[-1])
        ahead = right
        # Autocast is where `backward` is called, and a long product in bfloat16 is wrong.
        with torch.autocast(grad.device.type, enabled=False):
            for k in reversed(range(count)):
                left, (number, position) = messages[k], ctx.at[k]
                met = left * right
                share = grad * reciprocal(met.sum(1))
                if k < count - 1 and moves is not None:
                    torch.bmm(left * share.unsqueeze(1), ahead.mT, out=moves[k])
                found = row_grads[number]
                if found is not None:
                    _leave(met, share, found[position])
                _shrink(right)
                ahead = right.mul_(weights[k])
                right = torch.bmm(transitions[k - 1], ahead) if k else ahead
            share = grad * reciprocal((opening.unsqueeze(2) * ahead).sum(1))
            first = (ahead * share.unsqueeze(1)).sum(2) if of_opening else None
        return None, None, first, moves, *row_grads


def _batch(rows: Sequence[Tensor]) -> int:
    """Number of examples: rows of one serve all."""
    return next((row.shape[1] for row in rows if row.shape[1] != 1), 1)


def _weigh(row: Tensor, out: Tensor) -> Tensor:
    """Write weights (C, U, B) with a peak of one in every place; the logarithm (C, B) of what was divided out."""
    logs = row.mT.contiguous().unflatten(0, out.shape[:2])
    peak: Tensor = logs.amax(1)
    peak.masked_fill_(peak == -torch.inf, 0.0)
    torch.sub(logs.expand_as(out), peak.unsqueeze(1), out=out).exp_()
    return peak


def _empty(shape: torch.Size, batch_last: bool, like: Tensor) -> Tensor:
    """Room for rows (n, B, C U), laid out as those that were given."""
    sites, batch, components = shape
    room: Tensor = like.new_empty((sites, components, batch) if batch_last else (sites, batch, components))
    return room.mT if batch_last else room


def _leave(met: Tensor, share: Tensor, out: Tensor) -> None:
    """Write the products (C, U, B) to a row (B, C U), or their sum where one row serves all."""
    if len(out) == met.shape[2]:
        torch.mul(met, share.unsqueeze(1), out=out.mT.unflatten(0, met.shape[:2]))
    else:
        torch.linalg.vecdot(met, share.unsqueeze(1), out=out[0].view(met.shape[:2]))


def _shrink(message: Tensor) -> Tensor:
    """Divide by the largest point, in place, and return it, (C, B)."""
    peak = message.amax(1).clamp_min_(torch.finfo(message.dtype).tiny)
    message.div_(peak.unsqueeze(1))
    return peak
