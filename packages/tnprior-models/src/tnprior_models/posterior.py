"""The diagonal Gaussian that an encoder's answer stands for."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Independent, Normal

from tnprior_models.errors import ModelError
from tnprior_models.nets.bounded import LOG_SIGMA_RANGE, limit_softly

__all__ = ["diagonal_posterior"]


def diagonal_posterior(
    mu: Float[Tensor, "..."], log_sigma: Float[Tensor, "..."], *, rows: int, latent_size: int
) -> Independent[Any]:
    """`N(mu, diag sigma^2)` with batch shape (rows,), event shape (latent_size,); at least single precision.

    Raises:
        ModelError: the encoder's code has another size than the prior's continuous sites.

    >>> diagonal_posterior(torch.zeros(3, 2), torch.zeros(3, 2), rows=3, latent_size=2).batch_shape
    torch.Size([3])
    """
    expected = (rows, latent_size)
    if tuple(mu.shape) != expected or tuple(log_sigma.shape) != expected:
        raise ModelError(
            f"expected codes of shape {expected} from the encoder (the prior has "
            f"{latent_size} continuous sites), received {tuple(mu.shape)}"
        )
    precision = torch.promote_types(mu.dtype, torch.float32)
    sigma = limit_softly(log_sigma.to(precision), *LOG_SIGMA_RANGE).exp()
    return Independent(Normal(mu.to(precision), sigma, validate_args=False), 1, validate_args=False)
