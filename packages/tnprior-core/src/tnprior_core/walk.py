"""Exact sampling of a train or ring one site after the other, where draws have evidence of their own.

With the right messages `R_k`, draw the closing index, then each next bond from

    p(a' | a, c) proportional to A_k[a, a'] R_{k+1}[a', c],

then every component: O(K (m + N)) work per sample after the messages, which draws with the same evidence share.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tnprior_core.contract import opening, transfer
from tnprior_core.messages import closing, right_messages

__all__ = ["pick", "walk_states"]


def walk_states(
    rows: Sequence[Tensor], cores: Sequence[Tensor], uniform: Tensor, which: Tensor, *, closed: bool
) -> Tensor:
    """Return component indices (K, S) int32 of S independent draws, one column each.

    rows, cores
        as in `contract.log_mass`: weight rows (B, N_k) or (1, N_k), cores (N_k, m_k, m_{k+1}).
    uniform
        (2 K + 1, S) noise in [0, 1): one for the closing, one per bond, one per component.
    which
        (S,) the batch row whose evidence each draw obeys.

    >>> rows, cores = [torch.eye(2)] * 3, [torch.ones(2, 1, 1)] * 3
    >>> walk_states(rows, cores, torch.rand(7, 2), torch.tensor([0, 1]), closed=False)[0]
    tensor([0, 1], dtype=torch.int32)
    """
    count = len(rows)
    transfers = [transfer(row, core) for row, core in zip(rows, cores, strict=True)]
    messages = right_messages(transfers, closing(cores[-1], closed=closed))
    rights = [message.value for message in messages]
    scale = messages[0].log_scale
    last, bond = _draw_closing(rights[0], scale, cores[0], uniform[0], which, closed=closed)
    bonds = [bond]
    for k in range(count - 1 if closed else count):
        bond = _draw_bond(transfers[k], rights[k + 1], bond, last, uniform[1 + k], which)
        bonds.append(bond)
    if closed:
        bonds.append(last)
    states = uniform.new_empty(count, uniform.shape[1], dtype=torch.int32)
    for k in range(count):
        states[k] = _draw_component(rows[k], cores[k], bonds[k], bonds[k + 1], uniform[1 + count + k], which)
    return states


def pick(weights: Tensor, uniform: Tensor) -> Tensor:
    """Draw an index per row in proportion to `weights` (S, n) by inverting the cumulative sum.

    An entry of weight zero is never drawn. No normalisation and no multinomial kernel, so that the draw
    is a function of its own row and number alone.

    >>> pick(torch.tensor([[0.0, 2.0, 2.0]]), torch.tensor([0.4]))
    tensor([1])
    """
    cumulative = weights.cumsum(1)
    if weights.device.type != "cpu":
        # Sums are added in another order there: one more weight of zero may change the last bit.
        cumulative = torch.where(weights > 0, cumulative, 0.0).cummax(1).values
    return (cumulative[:, :-1] <= (uniform * cumulative[:, -1]).unsqueeze(1)).sum(1)


def _draw_closing(
    right: Tensor, log_scale: Tensor, core: Tensor, uniform: Tensor, which: Tensor, *, closed: bool
) -> tuple[Tensor, Tensor]:
    scale = (log_scale - log_scale.amax(1, keepdim=True)).exp()
    weights = (opening(core, closed=closed) * right * scale.unsqueeze(2)).flatten(1)
    index = pick(_for_draws(weights, uniform, which), uniform)
    rank = core.shape[1]
    return index // rank, index % rank


def _draw_bond(
    matrix: Tensor, right: Tensor, bond: Tensor, closing: Tensor, uniform: Tensor, which: Tensor
) -> Tensor:
    rank, closings = matrix.shape[1], right.shape[1]
    ahead = matrix.flatten(0, 1).index_select(0, bond if matrix.shape[0] == 1 else which * rank + bond)
    closed = closing if right.shape[0] == 1 else which * closings + closing
    return pick(ahead * right.flatten(0, 1).index_select(0, closed), uniform)


def _draw_component(
    row: Tensor, core: Tensor, bond: Tensor, ahead: Tensor, uniform: Tensor, which: Tensor
) -> Tensor:
    chosen = core.flatten(1).index_select(1, bond * core.shape[2] + ahead).mT
    return pick(chosen * _for_draws(row, uniform, which), uniform)


def _for_draws(weights: Tensor, uniform: Tensor, which: Tensor) -> Tensor:
    return weights.expand(uniform.shape[0], -1) if weights.shape[0] == 1 else weights.index_select(0, which)
