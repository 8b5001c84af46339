"""log p(z, y_ob) under a distribution over sites, with or without log p(z) beside it."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tnprior_models.layout import SiteLayout

__all__ = ["log_joint", "log_joint_and_latent"]


def log_joint(
    distribution: Any,
    layout: SiteLayout,
    z: Float[Tensor, "*rows d"],
    codes: Int[Tensor, "... A"],
    observed: Bool[Tensor, "... A"],
) -> Float[Tensor, "*rows"]:
    """log p(z, y_ob), nats; the axes of codes and mask are broadcast to those of `z`.

    >>> from tnprior_core import Categorical, Gaussian, StandardNormalPrior
    >>> prior = StandardNormalPrior([Gaussian("z0"), Categorical("hat")])
    >>> hat = torch.tensor([[1]])
    >>> found = log_joint(prior(), SiteLayout.of(prior), torch.zeros(1, 1), hat, hat > 0)
    >>> round(found.item(), 4)  # -1/2 log 2 pi - log 2
    -1.6121
    """
    with torch.autocast(z.device.type, enabled=False):
        values, mask = layout.join(z, codes), layout.mask(z, observed)
        found: Tensor = distribution.log_prob(values, observed=mask)
        return found


def log_joint_and_latent(
    distribution: Any,
    layout: SiteLayout,
    z: Float[Tensor, "*rows d"],
    codes: Int[Tensor, "... A"],
    observed: Bool[Tensor, "... A"],
) -> tuple[Float[Tensor, "*rows"], Float[Tensor, "*rows"]]:
    """log p(z, y_ob) and log p(z) by one contraction; their difference is log p(y_ob|z).

    >>> from tnprior_core import Categorical, Gaussian, StandardNormalPrior
    >>> prior = StandardNormalPrior([Gaussian("z0"), Categorical("hat")])
    >>> hat = torch.tensor([[1]])
    >>> joint, latent = log_joint_and_latent(prior(), SiteLayout.of(prior), torch.zeros(1, 1), hat, hat > 0)
    >>> round((joint - latent).item(), 4)
    -0.6931
    """
    with torch.autocast(z.device.type, enabled=False):
        values, mask = layout.join(z, codes), layout.mask(z, observed)
        alone = layout.mask(z, torch.zeros_like(observed))
        both = distribution.log_prob(torch.stack([values, values]), observed=torch.stack([mask, alone]))
        return both[0], both[1]
