"""Contraction of a chain of non-negative cores with one weight row per site.

Everything a tensor train or ring is asked comes down to

    F[b] = trace( S_end prod_k A_k[b] ),   A_k[b] = sum_s w_k[b, s] Q_k[s]

with weight rows `w_k` (B, N_k) and cores `Q_k` (N_k, m_k, m_{k+1}). A message is a matrix of `r` rows:
the train starts from one row of ones and closes with a column of ones (r = 1), the ring starts from the
identity and closes with the identity, which makes the closing a trace (r = m_1).

Source: Kuznetsov et al. 2019 (TRIP), algorithm 1; Oseledets 2011 for the train.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

__all__ = ["advance", "log_mass", "opening", "retreat", "transfer"]


def log_mass(rows: Sequence[Tensor], cores: Sequence[Tensor], *, closed: bool) -> Tensor:
    """Return `log F` (B,), differentiable once in the rows and in the cores.

    rows
        K weight rows, each (B, N_k), or (1, N_k) where the whole batch shares it. Non-negative.
    cores
        K cores (N_k, m_k, m_{k+1}), non-negative; `m_{K+1} = m_1` in a ring.
    closed
        True for a ring (trace), False for a train (ones at both ends).

    The backward pass is written by hand from the two messages of each site: with `L` from the left and
    `R` from the right, `d log F / d w[s] = <L, Q[s] R> / F` and `d log F / d Q[s] = w[s] L^T R^T / F`.
    The cost per example is O(K N m^2) for a train and O(K (N m^2 + m^3)) for a ring.

    >>> rows = [torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, 1.0]])]
    >>> cores = [torch.ones(2, 1, 1), torch.full((2, 1, 1), 3.0)]
    >>> log_mass(rows, cores, closed=False).exp()
    tensor([6.])
    """
    if all(row.shape[0] == 1 for row in rows):
        return _log_mass_shared(rows, cores, closed=closed)
    result: Tensor = _LogMass.apply(closed, *rows, *cores)
    return result


def transfer(row: Tensor, core: Tensor) -> Tensor:
    """Return `A = sum_s w[s] Q[s]`, shape (B, m, m'), as one matrix product.

    >>> transfer(torch.tensor([[1.0, 2.0]]), torch.ones(2, 1, 3))
    tensor([[[3., 3., 3.]]])
    """
    return (row @ core.flatten(1)).view(row.shape[0], core.shape[1], core.shape[2])


def opening(core: Tensor, *, closed: bool) -> Tensor:
    """Return the message before the first core, (1, r, m): a row of ones, or the identity of a ring.

    >>> opening(torch.ones(2, 3, 3), closed=False).shape
    torch.Size([1, 1, 3])
    """
    rank = core.shape[1]
    start = torch.eye(rank, dtype=core.dtype, device=core.device) if closed else core.new_ones(1, rank)
    return start.unsqueeze(0)


def advance(left: Tensor, row: Tensor, core: Tensor) -> Tensor:
    """Move a left message over one site: `L A`, shapes (B, r, m) -> (B, r, m').

    >>> advance(torch.ones(1, 1, 2), torch.ones(1, 3), torch.ones(3, 2, 2))
    tensor([[[6., 6.]]])
    """
    ranks = left.shape[1]
    if ranks > 1 or row.shape[0] == 1:
        return left @ transfer(row, core)
    # One row per example: weight first, so that site and bond are summed by one matrix product.
    weighted = row.unsqueeze(2) * left
    return (weighted.flatten(1) @ core.flatten(0, 1)).unsqueeze(1)


def retreat(right: Tensor, row: Tensor, core: Tensor) -> Tensor:
    """Move a right message back over one site: `A R`, shapes (B, m', r) -> (B, m, r).

    >>> retreat(torch.ones(1, 2, 1), torch.ones(1, 3), torch.ones(3, 2, 2))[0, :, 0]
    tensor([6., 6.])
    """
    return transfer(row, core) @ right


def _log_mass_shared(rows: Sequence[Tensor], cores: Sequence[Tensor], *, closed: bool) -> Tensor:
    """`log F` (1,) of rows that the whole batch shares, as a balanced tree: log2 K rounds instead of K.

    Matrices instead of vectors cost a factor m more, which for a single row is less than the overhead of K rounds.
    """
    nodes, logs = _transfers(rows, cores), []
    while len(nodes) > 1:
        pairs = len(nodes) // 2
        product = nodes[0 : 2 * pairs : 2] @ nodes[1::2]
        peak = product.detach().flatten(1).amax(1).clamp_min(torch.finfo(product.dtype).tiny)
        logs.append(peak.log().sum())
        nodes = torch.cat([product / peak.view(-1, 1, 1), nodes[2 * pairs :]])
    total = nodes[0].trace() if closed else nodes[0].sum()
    possible = total > 0
    logarithm = torch.where(possible, total, torch.ones_like(total)).log() + sum(logs)
    return torch.where(possible, logarithm, torch.full_like(total, -torch.inf)).view(1)


def _transfers(rows: Sequence[Tensor], cores: Sequence[Tensor]) -> Tensor:
    """All transfers (K, m, m), the smaller ones filled up with zeros."""
    if len({core.shape for core in cores}) == 1:
        weights = torch.stack(tuple(rows))
        return (weights @ torch.stack(tuple(cores)).flatten(2)).view(len(cores), *cores[0].shape[1:])
    rank = max(max(core.shape[1:]) for core in cores)
    matrices = [transfer(row, core)[0] for row, core in zip(rows, cores, strict=True)]
    return torch.stack([pad(x, (0, rank - x.shape[1], 0, rank - x.shape[0])) for x in matrices])


class _LogMass(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, closed: bool, *tensors: Tensor) -> Tensor:
        rows, cores = tensors[: len(tensors) // 2], tensors[len(tensors) // 2 :]
        left = opening(cores[0], closed=closed)
        end = opening(cores[0], closed=True).mT if closed else cores[-1].new_ones(1, cores[-1].shape[2], 1)
        messages, peaks = [], []
        for row, core in zip(rows, cores, strict=True):
            messages.append(left)
            left, peak = _shrink(advance(left, row, core))
            peaks.append(peak)
        ctx.closed, ctx.end = closed, end
        ctx.save_for_backward(*tensors, *messages)
        total = (left * end.mT).sum((1, 2)).log()
        return total + torch.stack([peak.expand(total.shape[0]) for peak in peaks]).log().sum(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        count = len(ctx.saved_tensors) // 3
        saved = ctx.saved_tensors
        rows, cores, messages = saved[:count], saved[count : 2 * count], saved[2 * count :]
        wants_rows, wants_cores = ctx.needs_input_grad[1 : 1 + count], ctx.needs_input_grad[1 + count :]
        row_grads: list[Tensor | None] = [None] * count
        core_grads: list[Tensor | None] = [None] * count
        right, step = ctx.end, _ring_step if ctx.closed else _train_step
        first = next(k for k in range(count) if wants_rows[k] or wants_cores[k])
        for k in reversed(range(first, count)):
            if not (wants_rows[k] or wants_cores[k]):
                right = _shrink(retreat(right, rows[k], cores[k]))[0]
                continue
            right, row_grads[k], core_grads[k] = step(
                grad, rows[k], cores[k], messages[k], right, wants_rows[k], wants_cores[k]
            )
            right = _shrink(right)[0]
        return None, *row_grads, *core_grads


Step = tuple[Tensor, Tensor | None, Tensor | None]


def _train_step(
    grad: Tensor, row: Tensor, core: Tensor, left: Tensor, right: Tensor, wants_row: bool, wants_core: bool
) -> Step:
    states, rank, width = core.shape
    batch = grad.shape[0]
    back = right.squeeze(2)
    # pulled[b, s, a] = sum_a' Q[s, a, a'] R[b, a']
    pulled = (back @ core.flatten(0, 1).mT).unflatten(1, (states, rank))
    before = (row.unsqueeze(1) @ pulled).mT  # (B, m, 1)
    slope = (pulled @ left.mT).squeeze(2)  # dF/dw, (B, N)
    coefficient = grad * _reciprocal((slope * row).sum(1))
    row_grad = _sum_to(slope * coefficient.unsqueeze(1), row) if wants_row else None
    if not wants_core:
        return before, row_grad, None
    weighted = (row.unsqueeze(2) * left).expand(batch, states, rank).flatten(1)
    core_grad = weighted.mT @ (back * coefficient.unsqueeze(1))
    return before, row_grad, core_grad.view(states, rank, width)


def _ring_step(
    grad: Tensor, row: Tensor, core: Tensor, left: Tensor, right: Tensor, wants_row: bool, wants_core: bool
) -> Step:
    flat = core.flatten(1)
    environment = (left.mT @ right.mT).flatten(1)  # dF/dA, (B, m m')
    before = transfer(row, core) @ right
    slope = (flat @ environment.mT).mT  # a tall result costs twice as much as a wide one
    coefficient = grad * _reciprocal((slope * row).sum(1))
    row_grad = _sum_to(slope * coefficient.unsqueeze(1), row) if wants_row else None
    if not wants_core:
        return before, row_grad, None
    weighted = row * coefficient.unsqueeze(1)
    core_grad = weighted.mT @ environment.expand(weighted.shape[0], -1)
    return before, row_grad, core_grad.view_as(core)


def _reciprocal(mass: Tensor) -> Tensor:
    """1 / F, and zero where F is zero: an impossible example has no direction to move in."""
    return mass.reciprocal().nan_to_num_(posinf=0.0)


def _sum_to(gradient: Tensor, row: Tensor) -> Tensor:
    return gradient if gradient.shape[0] == row.shape[0] else gradient.sum(0, keepdim=True)


def _shrink(message: Tensor) -> tuple[Tensor, Tensor]:
    """`scaled.rescale` in place, with the scale itself: one logarithm at the end serves all sites."""
    peak = message.flatten(1).amax(1).clamp_min_(torch.finfo(message.dtype).tiny)
    return message.div_(peak.view(-1, 1, 1)), peak
