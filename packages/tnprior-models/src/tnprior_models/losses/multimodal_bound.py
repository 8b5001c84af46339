"""The joint bound of image and labels that both come from the code, and what their own encoders learn by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

__all__ = ["encoder_divergence", "frozen_bound", "multimodal_bound"]


def multimodal_bound(
    log_likelihood: Float[Tensor, "S B"],
    log_labels: Float[Tensor, "S B"],
    kl: Float[Tensor, " B"],
    *,
    kl_weight: Tensor | float = 1.0,
    attribute_weight: float = 1.0,
) -> dict[str, Tensor]:
    """Terms of `L = E_q(z|x,y_ob) [log p(x|z) + sum_ob log p(y_a|z)] - KL(q(z|x, y_ob) || p(z))`.

    A lower bound of log p(x, y_ob) whatever the labels that q sees. Sources: Suzuki et al. 2016, equation 3;
    Vedantam et al. 2018, elbo(x, y).

    Args:
        log_likelihood: log p(x|z_s) for S samples of q.
        log_labels: sum over the observed attributes of log p(y_a|z_s).
        kl: KL(q || p(z)).
        kl_weight, attribute_weight: weights of `kl` and `log_labels`; 1 is the exact bound.

    Returns:
        Scalars in nats per example: `loss` (minimise), `bound` (always unweighted), the mean of every argument.

    >>> import torch
    >>> one = torch.ones(1, 1)
    >>> multimodal_bound(-10 * one, -2 * one, 3 * one[0])["bound"].item()
    -15.0
    """
    terms = {"log_likelihood": log_likelihood.mean(), "log_labels": log_labels.mean(), "kl": kl.mean()}
    weighted = terms["log_likelihood"] + attribute_weight * terms["log_labels"] - kl_weight * terms["kl"]
    bound = terms["log_likelihood"] + terms["log_labels"] - terms["kl"]
    return {"loss": -weighted, **terms, "bound": bound}


def encoder_divergence(joint: Distribution, single: Distribution) -> Float[Tensor, ""]:
    """`KL(q(z|x, y) || q(z|one of them))`, nats per example: what the encoder of one learns from that of both.

    At its least, with everything else fixed, the mean and variance of q(z|y) are those of the codes of all
    objects with these labels. Source: Suzuki et al. 2016, equation 5 (JMVAE-kl).

    >>> import torch
    >>> from torch.distributions import Independent, Normal
    >>> joint, single = (Independent(Normal(torch.full((1, 1), m), 1.0), 1) for m in (0.0, 2.0))
    >>> encoder_divergence(joint, single)
    tensor(2.)
    """
    return kl_divergence(joint, single).mean()


def frozen_bound(
    single: Any,
    prior: Distribution,
    log_likelihood: Callable[[Tensor], Tensor],
    *,
    weight: float,
    samples: int,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """`E_q(z|m) [w log p(m|z)] - KL(q(z|m) || p(z))` of one of image and labels: weighted, and with w = 1.

    At its best q(z|m) is the model's own posterior p(z|m) (of labels counted w times), in the direction of
    the divergence that avoids what is improbable. Source: Vedantam et al. 2018, elbo(x) and elbo(y).

    Args:
        single: q(z|m), batch shape (B,).
        prior: p(z).
        log_likelihood: codes (S, B, d) -> log p(m|z), (S, B); its parameters fixed, so that only q learns.
        weight: w.
        samples: S.

    >>> import torch
    >>> from torch.distributions import Independent, Normal
    >>> q = Independent(Normal(torch.zeros(1, 1), 1.0), 1)
    >>> frozen_bound(q, q, lambda z: torch.full((3, 1), -2.0), weight=5.0, samples=3)
    (tensor(-10.), tensor(-2.))
    """
    fit = log_likelihood(single.rsample((samples,))).mean()
    kl = kl_divergence(single, prior).mean()
    return weight * fit - kl, fit - kl
