"""Exact two-dimensional marginals of a prior: densities on a grid, and which pairs are worth a look."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor

from tnprior_core import Gaussian, NormalMixture, SiteDistribution, inverse_rosenblatt

REACH = 3.7
"""Normal score of the ends of a grid: 2e-4 of each latent's mass lies outside."""

_DRAWS, _BINS = 20_000, 12


class Density(NamedTuple):
    """Density (points, points) of a pair; the first latent runs along the rows. Grids (points,) of either."""

    pair: tuple[str, str]
    first: Tensor
    second: Tensor
    values: Tensor

    @property
    def mass(self) -> float:
        """The integral over the grid (trapezoidal rule); short of one where the grid is too coarse or too small."""
        return float(torch.trapezoid(torch.trapezoid(self.values, self.second), self.first))

    @property
    def information(self) -> float:
        """Mutual information of the two in nats, by the same rule."""
        weight = torch.outer(_steps(self.first), _steps(self.second))
        mass = self.values * weight
        apart = torch.outer(mass.sum(1), mass.sum(0)) / mass.sum()
        return float(torch.xlogy(mass, mass / apart.clamp_min(1e-300)).sum().clamp_min(0))


@torch.no_grad()
def pair_density(law: SiteDistribution, pair: tuple[str, str], grids: tuple[Tensor, Tensor]) -> Density:
    """The density `p(z_i, z_j | what is known)` on a grid, everything else summed out exactly.

    `p(z_i) sum_s p(s | z_i) p(z_j | s)`, s the component of z_j: the sites are walked along once for each point of one
    grid, not of both, and what is left is a product of two matrices.
    """
    first, second = pair
    given = cast(NormalMixture, law.condition({first: grids[0]}).marginal(second))
    one = given.component_mean[:1].mT  # (N, 1): every component a distribution of its own
    parts = NormalMixture(
        torch.ones_like(one), one, given.component_sigma[:1].mT, given.low[0], given.high[0]
    )
    of_second = parts.log_prob(grids[1].unsqueeze(1)).exp()
    of_first = law.marginal(first).log_prob(grids[0]).exp()
    return Density(pair, *grids, of_first.unsqueeze(1) * (given.weights @ of_second.mT))


@torch.no_grad()
def grid_of(laws: Sequence[SiteDistribution], name: str, points: int) -> Tensor:
    """A grid over all but the outermost of the mass that any of the laws gives a latent."""
    scores = torch.tensor([[-REACH], [REACH]])
    ends = [inverse_rosenblatt(law.marginal([name]), scores) for law in laws]
    low, high = min(float(end.min()) for end in ends), max(float(end.max()) for end in ends)
    return torch.linspace(low, high, points, dtype=ends[0].dtype, device=ends[0].device)


@torch.no_grad()
def dependent_pairs(law: SiteDistribution, count: int, *, seed: int) -> list[tuple[str, str]]:
    """The pairs of latents that depend most on each other, most of all first.

    By the mutual information of 20,000 samples in twelve bins of equal mass for each latent, which sees modes that a
    correlation of zero hides.
    """
    names = [site.name for site in law.sites if isinstance(site, Gaussian)]
    columns = [at for at, site in enumerate(law.sites) if isinstance(site, Gaussian)]
    z = law.sample((_DRAWS,), seed=seed)[:, columns].cpu()
    bins = z.argsort(0).argsort(0) * _BINS // len(z)
    rows = torch.nn.functional.one_hot(bins, _BINS).float().flatten(1)
    shares = (rows.mT @ rows / len(z)).double().view(len(names), _BINS, len(names), _BINS)
    nats = torch.xlogy(shares, shares * _BINS**2).sum((1, 3))
    pairs = itertools.combinations(range(len(names)), 2)
    best = sorted(pairs, key=lambda pair: -float(nats[pair]))[:count]
    return [(names[i], names[j]) for i, j in best]


def _steps(grid: Tensor) -> Tensor:
    """Weights of the trapezoidal rule."""
    steps = torch.zeros_like(grid)
    steps[1:] += grid.diff() / 2
    steps[:-1] += grid.diff() / 2
    return steps
