"""A start at the prior that is to be improved upon: N(0, I), as a mixture whose weights can learn."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from tnprior_core.cores import noise_cores
from tnprior_core.errors import SiteError
from tnprior_core.initialize.clusters import persistent_core, smallest_bond
from tnprior_core.priors.network import NetworkPrior
from tnprior_core.seeded import seeded_normal
from tnprior_core.sites import Gaussian

__all__ = ["initialize_near_normal", "standard_mixture"]

_REACH = 3.0
"""Outermost means, in standard deviations of the means."""


@torch.no_grad()
def initialize_near_normal(
    prior: NetworkPrior, *, seed: int = 0, spread: float = 0.0, leak: float = 0.05
) -> None:
    """Overwrite components and cores so that the latents start close to N(0, I), in one piece or in many.

    With the components `N(mu_s, sigma^2)` of `standard_mixture`, bond index c puts latent k at about
    `N(u_kc, 1 - spread^2)`, `u_kc = spread e_kc`, e standard normal, standardised over the indices. So the mean over
    the indices has mean zero and variance one whatever the spread. With `spread = 0` every bond index says the same
    (apart from noise in the cores, without which no gradient would tell them apart): a model with N(0, I) latents
    trains as before from the first step on, and the prior departs from it where the codes do. With a spread the
    prior starts as overlapping clusters, in whose places an encoder sorts what it sees.

    From equal weights on a grid, its usual start, the prior has hardly any tails, and the encoder pays for
    every code outside the grid.

    prior
        a train or ring prior; learned weights are lost.
    seed
        of noise and places.
    spread
        0 ... below 1, how much of the standard deviation lies between bond indices. It must leave their densities
        wider than a component, `spread^2 <= 1 - sigma^2`, which 10 components do up to 0.8.
    leak
        probability per site of changing the bond index, where there is a spread; at 1 latents start independent.

    Raises SiteError if spread or leak is out of range.

    >>> from tnprior_core import Gaussian, TensorRingPrior
    >>> prior = TensorRingPrior([Gaussian("z0", 10), Gaussian("z1", 10)], rank=4)
    >>> initialize_near_normal(prior)
    >>> bool((prior().variance - 1).abs().max() < 0.2)
    True
    """
    _check(prior, spread, leak)
    generator = torch.Generator().manual_seed(seed)
    noise = [noise_cores((1, *core.shape), generator)[0].to(core) for core in prior.cores()]
    count = smallest_bond(noise, closed=prior.closed)
    new = []
    for place, (site, core) in enumerate(zip(prior.order, noise, strict=True)):
        table = torch.full((count, core.shape[0]), 1 / core.shape[0])
        if isinstance(prior.sites[site], Gaussian):
            weight, mean, sigma = standard_mixture(core.shape[0])
            prior.assign_components(site, mean, sigma)
            table = _tables(weight, mean, sigma, spread, count, generator)
        if spread:
            first = core.new_full((count,), 1 / count) if place == 0 else None
            new.append(persistent_core(table.to(core), core, first, leak))
        else:
            new.append(core * (table[0] * core.shape[0]).to(core).view(-1, 1, 1))
    prior.assign_cores(new)


def _check(prior: NetworkPrior, spread: float, leak: float) -> None:
    fewest = min((n for site in prior.latents if (n := prior.sites[site].states) > 1), default=2)
    widest = math.sqrt(1 - _width(fewest) ** 2)
    if not (spread == 0 or 0 < spread <= widest) or not 0 < leak <= 1:
        raise SiteError(
            f"expected spread of 0 to {widest:.3g} and leak above 0, at most 1, received {spread} and {leak}"
        )


def _tables(
    weight: Tensor, mean: Tensor, sigma: Tensor, spread: float, count: int, generator: torch.Generator
) -> Tensor:
    """Component weights (C, N) of the bond indices of one latent."""
    place = seeded_normal(count, generator=generator)
    if spread == 0 or count == 1 or len(weight) == 1:
        return weight.expand(count, -1)
    place = spread * (place - place.mean()) / place.std(correction=0)
    variance = max(1 - spread**2 - float(sigma[0]) ** 2, 1e-6)
    return torch.softmax(-(mean - place.unsqueeze(1)).square() / (2 * variance), 1)


def _width(components: int) -> float:
    """Standard deviation of the components: h = 2 c / (N - 1), c = REACH sqrt(1 - sigma^2), sigma = h."""
    if components == 1:
        return 1.0
    ratio = 2 * _REACH / (components - 1)
    return ratio / math.sqrt(1 + ratio**2)


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
    sigma = _width(components)
    reach = _REACH * math.sqrt(1 - sigma**2)
    mean = torch.linspace(-reach, reach, components, dtype=torch.float64)
    weight = torch.softmax(-mean.square() / (2 * (1 - sigma**2)), 0)
    mean *= math.sqrt((1 - sigma**2) / float((weight * mean.square()).sum()))
    return weight.float(), mean.float(), torch.full((components,), sigma)
