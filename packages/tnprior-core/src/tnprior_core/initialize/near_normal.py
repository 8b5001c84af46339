"""A start at the prior that is to be improved upon: N(0, I), as a mixture whose weights can learn."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from tnprior_core.cores import noise_cores
from tnprior_core.priors.network import NetworkPrior

__all__ = ["initialize_near_normal", "standard_mixture"]

_REACH = 3.0
"""Outermost means, in standard deviations of the means."""


@torch.no_grad()
def initialize_near_normal(prior: NetworkPrior, *, seed: int = 0) -> None:
    """Overwrite components and cores so that the latents start close to N(0, I), apart from noise in the cores.

    `p(z_k) ~ sum_s w_s N(z_k; mu_s, sigma^2)` with the components of `standard_mixture`; slice s of the core of latent
    k is noise about `w_s / m`. A model with N(0, I) latents then trains as before from the first step on, and the
    prior departs from it where the codes do. From equal weights on a grid, its usual start, the prior has
    hardly any tails, and the encoder pays for every code outside the grid.

    prior
        a train or ring prior; learned weights are lost.
    seed
        of the noise.

    >>> from tnprior_core import Gaussian, TensorRingPrior
    >>> prior = TensorRingPrior([Gaussian("z0", 10), Gaussian("z1", 10)], rank=4)
    >>> initialize_near_normal(prior)
    >>> bool((prior().variance - 1).abs().max() < 0.2)
    True
    """
    generator = torch.Generator().manual_seed(seed)
    cores = [noise_cores((1, *core.shape), generator)[0].to(core) for core in prior.cores()]
    places = {site: place for place, site in enumerate(prior.order)}
    for site in prior.latents:
        weight, mean, sigma = standard_mixture(prior.sites[site].states)
        prior.assign_components(site, mean, sigma)
        cores[places[site]] *= (weight * len(weight)).to(cores[0]).view(-1, 1, 1)
    prior.assign_cores(cores)


def standard_mixture(components: int) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"], Float[Tensor, " N"]]:
    """Return weights, means and standard deviations (N,) of N equally wide normals that make about N(0, 1).

    Means at equal distances `h`, `sigma = h`, `w_s` proportional to `exp(-mu_s^2 / 2 (1 - sigma^2))`: a normal density
    of the means, sampled, and smoothed by the components. Mean zero and variance one are exact.

    >>> weight, mean, sigma = standard_mixture(10)
    >>> round(float((weight * (mean**2 + sigma**2)).sum()), 6)
    1.0
    """
    if components == 1:
        return torch.ones(1), torch.zeros(1), torch.ones(1)
    # h = 2 c / (N - 1) with c = REACH sqrt(1 - sigma^2) and sigma = h, solved for sigma.
    ratio = 2 * _REACH / (components - 1)
    sigma = ratio / math.sqrt(1 + ratio**2)
    reach = _REACH * math.sqrt(1 - sigma**2)
    mean = torch.linspace(-reach, reach, components, dtype=torch.float64)
    weight = torch.softmax(-mean.square() / (2 * (1 - sigma**2)), 0)
    mean *= math.sqrt((1 - sigma**2) / float((weight * mean.square()).sum()))
    return weight.float(), mean.float(), torch.full((components,), sigma)
