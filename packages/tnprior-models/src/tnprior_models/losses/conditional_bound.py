"""The evidence lower bound of a conditional VAE: labels in encoder and decoder, missing ones predicted."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

__all__ = ["conditional_bound"]


def conditional_bound(
    log_likelihood: Float[Tensor, "S B"],
    kl: Float[Tensor, "S B"],
    log_labels: Float[Tensor, "S B"],
    label_entropy: Float[Tensor, " B"],
    log_predicted: Float[Tensor, " B"],
    *,
    kl_weight: Tensor | float = 1.0,
    attribute_weight: float = 1.0,
) -> dict[str, Tensor]:
    """Terms of `L = E_q(y_un|x) E_q(z|x,y) [log p(x|z, y) + log p(z) + log p(y) - log q(z|x, y)] + H(q(y_un|x))`.

    A lower bound of log p(x, y_ob) for every share of observed labels: without any it is the published
    bound of an unlabelled example, `E_q(y|x)[...] - KL(q(y|x) || p(y))`; with all it is that of a labelled
    one. To it comes `attribute_weight sum_ob log q(y_a|x)`, or observed labels would teach the predictor
    nothing. A prior that joins codes and labels has log p(z) + log p(y|z) in the place of log p(z) + log p(y).
    Sources: Kingma et al. 2014 (M2), equations 6 to 9; Sohn et al. 2015.

    Args:
        log_likelihood: log p(x|z_s, y_s) for S draws of q.
        kl: KL(q(z|x, y_s) || p(z)), or an estimate of it.
        log_labels: log p(y_s), or log p(y_s|z_s), the observed labels included.
        label_entropy: entropy of q(y_un|x).
        log_predicted: sum over the observed attributes of log q(y_a|x).
        kl_weight: weight of `kl`; 1 is the exact bound.
        attribute_weight: weight of `log_predicted`.

    Returns:
        Scalars in nats per example: `loss` (minimise), `bound` (always unweighted and without
        `log_predicted`), and the mean of every argument.

    >>> import torch
    >>> one = torch.ones(1, 1)
    >>> conditional_bound(-10 * one, 3 * one, -2 * one, one[0], -one[0])["bound"].item()
    -14.0
    """
    terms = {
        "log_likelihood": log_likelihood.mean(),
        "kl": kl.mean(),
        "log_labels": log_labels.mean(),
        "label_entropy": label_entropy.mean(),
        "log_predicted": log_predicted.mean(),
    }
    labels = terms["log_labels"] + terms["label_entropy"]
    weighted = terms["log_likelihood"] - kl_weight * terms["kl"] + labels
    terms["bound"] = terms["log_likelihood"] - terms["kl"] + labels
    return {"loss": -weighted - attribute_weight * terms["log_predicted"], **terms}
