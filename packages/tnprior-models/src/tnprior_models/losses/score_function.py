"""The gradient of an expectation with respect to the distribution it is taken under, from costs alone."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

__all__ = ["leave_one_out", "score_function"]


def leave_one_out(cost: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """`d_i - mean_{j != i} d_j`: each cost against a baseline that does not know it; d itself if it is alone.

    A mean that includes sample i would shrink the gradient by (n - 1) / n.
    Sources: Kool et al. 2019; Mnih and Rezende 2016.

    >>> import torch
    >>> leave_one_out(torch.tensor([1.0, 2.0, 6.0]))
    tensor([-3.0000, -1.5000,  4.5000])
    """
    count = cost.shape[0]
    if count < 2:
        return cost
    return (cost - cost.mean()) * (count / (count - 1))


def score_function(log_p: Float[Tensor, " n"], cost: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """The mean cost, with the REINFORCE gradient for what `log_p` depends on.

    `(1/n) sum_i (d_i - mean_{j != i} d_j) grad log p(z_i) + (1/n) sum_i grad d_i`, an unbiased estimate of
    `grad E_p[d]` for independent z_i ~ p. The second part is the ordinary gradient of the costs: zero for
    costs without one, that of the generator for costs of what it generated. Minimise.

    Args:
        log_p: log p(z_i) of n independent samples, differentiable.
        cost: d_i, lower is better.

    Source: TRIP (Kuznetsov et al. 2019), equation 10, whose baseline contains sample i; here it does not.

    >>> import torch
    >>> logits = torch.zeros(2, requires_grad=True)
    >>> drawn = torch.tensor([0, 1])
    >>> loss = score_function(logits.log_softmax(0)[drawn], torch.tensor([1.0, 3.0]))
    >>> loss.backward()
    >>> loss.item(), logits.grad
    (2.0, tensor([-1.,  1.]))
    """
    advantage = leave_one_out(cost.detach()).to(log_p.dtype)
    score = (advantage * log_p).mean()
    return cost.mean() + score - score.detach()
