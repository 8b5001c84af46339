"""Initialisation from one-dimensional mixtures, the published one."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from tnprior_core.cores import noise_cores
from tnprior_core.initialize.columns import check_latents, quantiles
from tnprior_core.normal import log_normal
from tnprior_core.priors.network import NetworkPrior

__all__ = ["fit_mixtures", "initialize_from_mixtures"]

# A latent that never varies must not become a component of width zero.
SIGMA_FLOOR = 1e-3
# Densities held at once, (columns, n, N): bounds the memory of a fit of many latents.
_CELLS_AT_ONCE = 1 << 24


def initialize_from_mixtures(
    prior: NetworkPrior, z: Float[Tensor, "n d"], *, seed: int = 0, iterations: int = 50
) -> None:
    """Fit a one-dimensional mixture to every latent and redraw all cores as noise (learned weights are lost).

    prior
        a train or ring prior; its continuous sites are the columns of `z`.
    z
        (n, d) latent codes, samples of q(z | x) rather than means.

    Raises ShapeError if the columns do not match. Optimiser state of the prior is stale afterwards.
    Source: Kuznetsov et al. 2019 (TRIP), section 3.1.

    >>> from tnprior_core import Gaussian, TensorTrainPrior
    >>> prior = TensorTrainPrior([Gaussian("z0", 2)], rank=1)
    >>> z = torch.cat([torch.randn(200, 1) - 5, torch.randn(200, 1) + 5])
    >>> initialize_from_mixtures(prior, z)
    >>> [round(abs(x)) for x in prior.mean["n2"][0].tolist()]
    [5, 5]
    """
    check_latents(prior.sites, z)
    generator = torch.Generator().manual_seed(seed)
    by_states: dict[int, list[int]] = {}
    for column, site in enumerate(prior.latents):
        by_states.setdefault(prior.sites[site].states, []).append(column)
    for states, columns in by_states.items():
        _, mean, sigma = fit_mixtures(z[:, columns].detach().double(), states, iterations=iterations)
        for row, column in enumerate(columns):
            prior.assign_components(prior.latents[column], mean[row], sigma[row])
    prior.assign_cores([noise_cores((1, *core.shape), generator)[0] for core in prior.cores()])


@torch.no_grad()
def fit_mixtures(
    z: Float[Tensor, "n d"], components: int, *, iterations: int = 50
) -> tuple[Float[Tensor, "d N"], Float[Tensor, "d N"], Float[Tensor, "d N"]]:
    """Fit a mixture of normals to every column of `z` (n, d) by expectation maximisation, many columns at once.

    Returns weights, means and standard deviations, each (d, N). The means start at the quantiles
    (s + 1/2) / N, so that they ascend at the start. Source: Dempster, Laird & Rubin 1977.

    >>> weight, mean, sigma = fit_mixtures(torch.randn(500, 3), 2)
    >>> bool(torch.allclose(weight.sum(1), torch.ones(3)))
    True
    """
    step = max(1, _CELLS_AT_ONCE // max(1, z.shape[0] * components))
    parts = [_fit_columns(part, components, iterations) for part in z.split(step, 1)]
    weight, mean, sigma = (torch.cat(found) for found in zip(*parts, strict=True))
    return weight, mean, sigma


def _fit_columns(z: Tensor, components: int, iterations: int) -> tuple[Tensor, Tensor, Tensor]:
    d = z.shape[1]
    levels = (torch.arange(components, dtype=z.dtype, device=z.device) + 0.5) / components
    mean = quantiles(z, levels).mT.contiguous()
    spread = z.std(0, correction=0).clamp_min(SIGMA_FLOOR).unsqueeze(1)
    sigma = (spread / components).clamp_min(SIGMA_FLOOR).expand(d, components).clone()
    weight = z.new_full((d, components), 1 / components)
    columns = z.mT.unsqueeze(2)  # (d, n, 1)
    for _ in range(iterations):
        logits = weight.log().unsqueeze(1) + log_normal(columns, mean.unsqueeze(1), sigma.log().unsqueeze(1))
        share = logits.softmax(2)
        mass = share.sum(1).clamp_min(1e-10)
        weight = (mass / mass.sum(1, keepdim=True)).clamp_min(1e-10)
        mean = (share * columns).sum(1) / mass
        variance = (share * (columns - mean.unsqueeze(1)).square()).sum(1) / mass
        sigma = variance.sqrt().clamp_min(SIGMA_FLOOR)
    return weight, mean, sigma
