"""The published form of the bound, term by term: for tests and for reading a model's KL."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

__all__ = ["split_bound"]


def split_bound(
    log_likelihood: Float[Tensor, "S B"],
    log_q: Float[Tensor, "S B"],
    log_conditional: Float[Tensor, "S B"],
    log_evidence: Float[Tensor, " B"],
) -> dict[str, Tensor]:
    """Terms of `L = E_q[log p(x|z)] - KL(q(z|x) || p(z|y_ob)) + log p(y_ob)`, the KL by Monte Carlo.

    Source: VAE-TTLP (Kuznetsov et al. 2018), equation 6.

    Args:
        log_likelihood: log p(x|z_s).
        log_q: log q(z_s|x).
        log_conditional: log p(z_s|y_ob).
        log_evidence: log p(y_ob).

    Returns:
        Scalars in nats per example: `loss`, `bound`, `log_likelihood`, `kl`, `log_evidence`.

    >>> import torch
    >>> one = torch.ones(1, 1)
    >>> split_bound(-10 * one, -3 * one, -4 * one, -2 * one[0])["bound"].item()
    -13.0
    """
    reconstruction, evidence = log_likelihood.mean(), log_evidence.mean()
    kl = (log_q - log_conditional).mean()
    bound = reconstruction - kl + evidence
    terms = {"log_likelihood": reconstruction, "kl": kl, "log_evidence": evidence}
    return {"loss": -bound, "bound": bound, **terms}
