"""Masses of the places of a ring of blocks, and their gradients from one walk back.

Messages are (C, U, B), the batch last: the largest point and products with a place's scale are then sums and products
of rows of numbers. Where `L` from the left meets `R` from the right behind site k, `F = sum_u L[u] R[u]` and

    d log F / d log w_k[u] = L[u] R[u] / F        d log F / d T_k[u, v] = L[u] w_{k+1}[v] R'[v] / F.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tnprior_core.legs import Block

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
    rows = [block.rows for block in blocks]
    recorded = torch.is_grad_enabled() and any(x.requires_grad for x in (opening, transitions, *rows))
    places = [where[site] for site in order]
    result: Tensor = _PlaceMasses.apply(places, recorded, opening, transitions, *rows)
    return result


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
        batch = next((row.shape[1] for row in rows if row.shape[1] != 1), 1)
        message = opening.unsqueeze(2).expand(-1, -1, batch)
        total, weights, messages = opening.new_zeros(len(opening), batch), [], []
        for k, (number, position) in enumerate(at):
            weight, shift = _weights(rows[number][position], opening.shape)
            message = message * weight if k == 0 else torch.bmm(transitions[k - 1].mT, message).mul_(weight)
            peak = _shrink(message)
            total += peak.log() + shift
            if recorded:
                weights.append(weight)
                messages.append(message)
        ctx.at = at
        if recorded:
            ctx.save_for_backward(opening, transitions, *rows, *weights, *messages)
        return message.sum(1).log() + total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        opening, transitions, *saved = ctx.saved_tensors
        count = len(ctx.at)
        rows, weights, messages = saved[: -2 * count], saved[-2 * count : -count], saved[-count:]
        _, _, of_opening, of_transitions, *of_rows = ctx.needs_input_grad
        row_grads = [torch.empty_like(row) if want else None for row, want in zip(rows, of_rows, strict=True)]
        moves = torch.empty_like(transitions) if of_transitions else None
        right = torch.ones_like(messages[-1])
        ahead = right
        # Autocast is where `backward` is called, and a long product in bfloat16 is wrong.
        with torch.autocast(grad.device.type, enabled=False):
            for k in reversed(range(count)):
                left, (number, position) = messages[k], ctx.at[k]
                met = left * right
                share = grad * _reciprocal(met.sum(1))
                if k < count - 1 and moves is not None:
                    torch.bmm(left * share.unsqueeze(1), ahead.mT, out=moves[k])
                found = row_grads[number]
                if found is not None:
                    _leave(met, share, found[position])
                _shrink(right)
                ahead = right.mul_(weights[k])
                right = torch.bmm(transitions[k - 1], ahead) if k else ahead
            share = grad * _reciprocal((opening.unsqueeze(2) * ahead).sum(1))
            first = (ahead * share.unsqueeze(1)).sum(2) if of_opening else None
        return None, None, first, moves, *row_grads


def _weights(row: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """Weights (C, U, B) with a peak of one in every place, and the logarithm (C, B) of what was divided out."""
    weight = row.mT.clone(memory_format=torch.contiguous_format).unflatten(0, shape)
    peak = weight.amax(1)
    peak.masked_fill_(peak == -torch.inf, 0.0)
    return weight.sub_(peak.unsqueeze(1)).exp_(), peak


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


def _reciprocal(mass: Tensor) -> Tensor:
    """1 / F, and zero where F is zero: an impossible place has no direction to move in."""
    return mass.reciprocal().nan_to_num_(posinf=0.0)
