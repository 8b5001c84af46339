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
from types import ModuleType

import torch
from torch import Tensor
from torch.nn.functional import pad

from tnprior_core.compiled import chain_loops
from tnprior_core.folded import folded_log_mass
from tnprior_core.packed import packed_log_mass

__all__ = ["log_mass", "opening", "transfer"]

_LONG_MESSAGE = 48
"""Largest rank of a train for loops: at 40 they take four fifths of a library's time, at 64 a tenth more."""


def log_mass(rows: Sequence[Tensor], cores: Sequence[Tensor], *, closed: bool) -> Tensor:
    """Return `log F` (B,), differentiable once in the rows and in the cores.

    rows
        K weight rows, each (B, N_k), or (1, N_k) where the whole batch shares it. Non-negative.
    cores
        K cores (N_k, m_k, m_{k+1}), non-negative; `m_{K+1} = m_1` in a ring.
    closed
        True for a ring (trace), False for a train (ones at both ends).

    The backward pass is written by hand from the two messages of each site, see `folded`, or `packed` where numba is
    installed and the work on the CPU is worth it.
    The cost per example is O(K N m^2) for a train and O(K (N m^2 + m^3)) for a ring.

    >>> rows = [torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, 1.0]])]
    >>> cores = [torch.ones(2, 1, 1), torch.full((2, 1, 1), 3.0)]
    >>> log_mass(rows, cores, closed=False).exp()
    tensor([6.])
    """
    if all(row.shape[0] == 1 for row in rows):
        return _log_mass_shared(rows, cores, closed=closed)
    loops = _loops(rows, cores, closed=closed)
    if loops is None:
        return folded_log_mass(rows, cores, closed=closed)
    return packed_log_mass(loops, rows, cores, closed=closed)


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


def _loops(rows: Sequence[Tensor], cores: Sequence[Tensor], *, closed: bool) -> ModuleType | None:
    """The loops of `packed`, where they are faster than a library's products."""
    kinds = {x.dtype for x in (*rows, *cores)}
    too_long = not closed and max(core.shape[1] for core in cores) > _LONG_MESSAGE
    if too_long or kinds not in ({torch.float32}, {torch.float64}):
        return None
    products = sum(core.numel() + closed * core.shape[1] ** 3 for core in cores)
    return chain_loops(max(row.shape[0] for row in rows) * products, rows[0].device)


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
