"""The gradient of E_q[log p(y)] for a factorised q over labels, one attribute at a time summed exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tnprior_core import Categorical

__all__ = ["expected_log_labels"]


def expected_log_labels(
    labels: Any,
    sites: Sequence[Categorical],
    log_q: Sequence[Float[Tensor, "B _"]],
    codes: Int[Tensor, "S B A"],
    free: Bool[Tensor, "B A"],
) -> Float[Tensor, "S B"]:
    """An unbiased estimate of `E_q[log p(y)]` whose gradient is unbiased too, for p and for q.

    The value is log p(y_s) at the drawn labels. The gradient for q_a sums over the labels of attribute a
    exactly and takes the other attributes as drawn: `sum_c grad q_a(c) log p(y_a = c | y_-a)`; with one
    attribute that is the exact gradient. Source: Titsias and Lázaro-Gredilla 2015, local expectation
    gradients.

    Args:
        labels: p(y), a distribution over `sites`.
        sites: the attributes.
        log_q: log q(y_a|x) of each attribute.
        codes: S completed tables; free entries are draws of q.
        free: which entries were drawn.

    >>> from tnprior_core import StandardNormalPrior
    >>> hat = Categorical("hat")
    >>> q = torch.tensor([[0.3, 0.7]]).log().requires_grad_()
    >>> p = StandardNormalPrior([hat]).labels()
    >>> expected_log_labels(p, [hat], [q], torch.ones(1, 1, 1).long(), torch.ones(1, 1).bool())
    tensor([[-0.6931]], grad_fn=<AddBackward0>)
    """
    log_p: Tensor = labels.log_prob(codes.to(log_q[0].dtype))
    if not torch.is_grad_enabled():
        return log_p
    draw, row, attribute = free.expand(codes.shape).nonzero(as_tuple=True)
    pull = torch.zeros_like(log_p)
    if len(draw) == 0:
        return log_p + pull
    known = torch.ones(len(draw), len(sites), dtype=torch.bool, device=codes.device)
    known[torch.arange(len(draw), device=codes.device), attribute] = False
    others = labels.observe(codes[draw, row].to(log_q[0].dtype), known).marginals()
    for at, site in enumerate(sites):
        here = attribute == at
        weight = others[site.name].probs[here].clamp_min(torch.finfo(log_p.dtype).tiny).log()
        q = log_q[at][row[here]].exp()
        gain = ((q - q.detach()) * weight).sum(-1)
        pull = pull.index_put((draw[here], row[here]), gain, accumulate=True)
    return log_p + pull
