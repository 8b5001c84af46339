"""What a CVAE's bound asks of its prior: codes apart from the labels, or joined to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.distributions import Independent, Normal, kl_divergence

from tnprior_core import StandardNormalPrior
from tnprior_models.layout import SiteLayout
from tnprior_models.local_expectations import expected_log_joint, expected_log_labels

__all__ = ["PriorTerms", "Terms", "prior_terms"]

STANDARD = Normal(0.0, 1.0, validate_args=False)


class Terms(NamedTuple):
    """One code for each of S completed tables, and what the prior says of both.

    `z` (S, B, d) drawn from q(z|x, y_s); `kl` (S, B), `E_q[log q(z|x, y_s) - log p(z)]`; `log_labels` (S, B),
    log p(y_s|z). In nats; their gradients are unbiased for q(z|x, y) at fixed labels, for q(y|x) and for the prior.
    """

    z: Tensor
    kl: Tensor
    log_labels: Tensor


class PriorTerms(Protocol):
    """The terms of one kind of prior."""

    def of(
        self,
        encode: Callable[[], Independent[Any]],
        log_q: Sequence[Float[Tensor, "B _"]],
        codes: Int[Tensor, "S B A"],
        free: Bool[Tensor, "B A"],
    ) -> Terms:
        """The terms at completed tables `codes`; `encode` gives q(z|x, y_s), `log_q` the predicted labels."""
        ...


def prior_terms(prior: nn.Module, layout: SiteLayout) -> PriorTerms:
    """The terms of a prior: in closed form where its codes are standard normal whatever the labels."""
    return _Apart(prior, layout) if isinstance(prior, StandardNormalPrior) else _Joined(prior, layout)


@final
@dataclass(frozen=True)
class _Apart:
    """`p(z, y) = N(z; 0, I) p(y)`: the divergence has a closed form, and the labels know nothing of the code."""

    prior: StandardNormalPrior
    layout: SiteLayout

    def of(
        self,
        encode: Callable[[], Independent[Any]],
        log_q: Sequence[Tensor],
        codes: Tensor,
        free: Tensor,
    ) -> Terms:
        with torch.autocast(codes.device.type, enabled=False):
            log_labels = expected_log_labels(self.prior.labels(), self.layout.categorical, log_q, codes, free)
        posterior = encode()
        z = posterior.rsample()
        return Terms(z, kl_divergence(posterior.base_dist, STANDARD).sum(-1), log_labels)


@final
@dataclass(frozen=True)
class _Joined:
    """Any p(z, y): the entropy of q has a closed form, the rest is taken at the drawn code."""

    prior: nn.Module
    layout: SiteLayout

    def of(
        self,
        encode: Callable[[], Independent[Any]],
        log_q: Sequence[Tensor],
        codes: Tensor,
        free: Tensor,
    ) -> Terms:
        posterior = encode()
        z = posterior.rsample()
        with torch.autocast(codes.device.type, enabled=False):
            found = expected_log_joint(self.prior(), self.layout, log_q, z, codes, free)
        return Terms(z, -posterior.entropy() - found.latent, found.joint - found.latent)
