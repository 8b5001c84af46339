"""The importance-weighted bound on the log-likelihood."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

__all__ = ["importance_bound"]


def importance_bound(log_weights: Float[Tensor, "k B"]) -> Float[Tensor, " B"]:
    """`log (1/k) sum_i exp(log w_i)`: the ELBO for k = 1, log p(x) as k grows; nats per example.

    In expectation it never falls as k grows and never exceeds the log-likelihood. Source: Burda et al.
    2016 (IWAE); TRIP's table 1 uses k = 100.

    >>> import torch
    >>> importance_bound(torch.log(torch.tensor([[1.0], [3.0]])))  # log of the mean weight 2
    tensor([0.6931])
    """
    return log_weights.logsumexp(dim=0) - math.log(log_weights.shape[0])
