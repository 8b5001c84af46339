"""The messages that a chain sends to the left: what every bond index says about the evidence to its right."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tnprior_core.contract import opening
from tnprior_core.scaled import Scaled

__all__ = ["closing", "rescale_rows", "right_messages"]


def closing(core: Tensor, *, closed: bool) -> Scaled:
    """Return the message after the last core, (1, r, m'): a row of ones, or the identity of a ring.

    >>> closing(torch.ones(2, 3, 3), closed=False).value
    tensor([[[1., 1., 1.]]])
    """
    end = opening(core.mT, closed=closed)
    return Scaled(end, end.new_zeros(1, end.shape[1]))


def right_messages(transfers: Sequence[Tensor], end: Scaled) -> list[Scaled]:
    """Return K + 1 messages `R_k = A_k ... A_K`, transposed: values (Be, r, m_k), log scales (Be, r).

    transfers
        K matrices (Be, m_k, m_{k+1}), see `contract.transfer`.
    end
        the message after the last of them, see `closing`.

    Every closing index keeps a scale of its own: a ring whose halves favour different closings cannot underflow.

    >>> [one] = [torch.ones(1, 1, 1)]
    >>> [found.value.item() for found in right_messages([3 * one, 2 * one], closing(one, closed=False))]
    [1.0, 1.0, 1.0]
    """
    messages = [end]
    for matrix in reversed(transfers):
        right, log_scale = messages[-1]
        messages.append(rescale_rows(right @ matrix.mT, log_scale))
    return messages[::-1]


def rescale_rows(message: Tensor, log_scale: Tensor) -> Scaled:
    """Divide every row of (B, r, m) by its largest entry; the scale (B, r) is a constant to gradients.

    >>> rescale_rows(torch.tensor([[[2.0, 4.0]]]), torch.zeros(1, 1)).value
    tensor([[[0.5000, 1.0000]]])
    """
    peak = message.detach().amax(2, keepdim=True).clamp_min(torch.finfo(message.dtype).tiny)
    return Scaled(message / peak, log_scale + peak.squeeze(2).log())
