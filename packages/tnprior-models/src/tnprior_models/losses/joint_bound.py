"""The evidence lower bound of image and observed attributes, from one contraction."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

__all__ = ["joint_bound"]


def joint_bound(
    posterior: Distribution,
    log_likelihood: Float[Tensor, "S B"],
    log_joint: Float[Tensor, "S B"],
    *,
    log_latent: Float[Tensor, "S B"] | None = None,
    kl_weight: Tensor | float = 1.0,
    attribute_weight: Tensor | float = 1.0,
) -> dict[str, Tensor]:
    """Terms of `L = E_q[log p(x|z) + log p(z, y_ob) - log q(z|x)] <= log p(x, y_ob)`.

    Because `log p(z|y_ob) + log p(y_ob) = log p(z, y_ob)`, this is the same number as VAE-TTLP's
    `E_q[log p(x|z)] - KL(q || p(z|y_ob)) + log p(y_ob)` and as TRIP's equation 14, with one contraction
    instead of three. The entropy `-E_q[log q]` is taken in closed form.

    With `log_latent` the loss weighs the terms: `E log p(x|z) + kl_weight (E log p(z) + H(q))
    + attribute_weight E log p(y_ob|z)`. Weights of one are the exact bound.

    Args:
        posterior: q(z|x) with batch shape (B,) and a closed-form entropy.
        log_likelihood: log p(x|z_s) for S samples of each posterior.
        log_joint: log p(z_s, y_ob).
        log_latent: log p(z_s); only needed if the two weights differ.
        kl_weight: weight of log p(z) - log q(z|x).
        attribute_weight: weight of log p(y_ob|z) = log p(z, y_ob) - log p(z).

    Returns:
        Scalars in nats per example: `loss` (minimise), `bound` (always unweighted), `log_likelihood`,
        `log_prior` (of z and y_ob), `entropy`, and with `log_latent` also `log_attributes`.

    >>> import torch
    >>> from torch.distributions import Independent, Normal
    >>> q = Independent(Normal(torch.zeros(1, 2), torch.ones(1, 2)), 1)
    >>> terms = joint_bound(q, torch.full((1, 1), -10.0), torch.full((1, 1), -4.0))
    >>> round(terms["bound"].item(), 3)
    -11.162
    """
    entropy = posterior.entropy().mean()
    reconstruction, joint = log_likelihood.mean(), log_joint.mean()
    terms = {"log_likelihood": reconstruction, "log_prior": joint, "entropy": entropy}
    terms["bound"] = reconstruction + joint + entropy
    if log_latent is None:
        weighted = reconstruction + kl_weight * (joint + entropy)
    else:
        latent = log_latent.mean()
        terms["log_attributes"] = joint - latent
        weighted = reconstruction + kl_weight * (latent + entropy) + attribute_weight * (joint - latent)
    return {"loss": -weighted, **terms}
