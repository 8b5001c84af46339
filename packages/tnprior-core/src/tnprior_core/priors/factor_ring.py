"""A tensor ring of many places, each with factors that move along it: what the latents of a place have in common."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tnprior_core.distributions.blocks import BlockRing
from tnprior_core.errors import SiteError
from tnprior_core.legs import GaussianLegs, LabelLegs, LegGroup, Legs
from tnprior_core.priors.components import ComponentsPrior
from tnprior_core.priors.network import LOG_SIGMA_RANGE, chain_places
from tnprior_core.seeded import seeded_uniform
from tnprior_core.sites import Site

__all__ = ["FactorRingPrior", "binomial_chain", "standard_binomial"]

_LOADED: Final = 0.3
"""Share of a component's standard deviation that the factor has at the start: not zero, where it has no gradient."""
_CORRELATION: Final = 0.9
_MOST_POINTS: Final = 256
"""Of a place, L^F: transitions have the square of it. So there are eight factors at most, with 0.72 of the variance."""
_LARGEST: Final = 0.999
"""A factor may always move: at a probability of zero no gradient would tell it to, and small numbers would be lost."""


@final
class FactorRingPrior(ComponentsPrior):
    """Tensor ring with block-diagonal cores: C places, each with factors that move from site to site.

    `p(z, y) = sum_c pi_c sum_u p(u_1 ... u_K | c) prod_k N(z_k; mu_kc + sum_f lambda_fkc t_{u_k f}, sigma_kc^2)`. Each
    of F factors t has L points that make about N(0, 1), and its chain is stationary with
    `Corr(t_k, t_{k+1}) = rho_fc` (`binomial_chain`), apart from the others. A bond index is (c, u), the rank C L^F;
    the bond that closes the ring has the place alone. Latents of one place are correlated, each place in its own
    way, which a mixture of diagonal Gaussians can only say by more places: 2 + F parameters per place and latent
    where the mixture has two. Labels have `p(y | c, u) = softmax(beta_c + sum_f gamma_fc t_{u f})`. With
    `lambda = gamma = 0` it is the `GaussianMixturePrior` with the same components, and all that starts such a mixture
    starts it.

    sites
        Gaussian sites (their own `components` are not used) and Categorical ones.
    components
        C, the number of places.
    points
        L, the number of points of a factor, at least 2.
    factors
        F; a site costs O(C L^(2 F)) per example, and L^F is at most 256.
    low, high
        means start uniform in this range.
    width
        standard deviations at the start, of which each factor has 0.3, in a random direction.
    order
        site names or positions round the ring; None for the order of `sites`.
    seed
        of means and directions.

    Raises SiteError when a setting is impossible.
    Source: tensor ring Kuznetsov et al. 2019 (TRIP), equation 3; factors in every place as in Ghahramani and Hinton
    1996, "The EM algorithm for mixtures of factor analyzers", there normal and the same for all latents.

    >>> from tnprior_core import Categorical, Gaussian
    >>> prior = FactorRingPrior([Gaussian("z0"), Gaussian("z1"), Categorical("hat")], components=8)
    >>> prior().sample((3,), seed=0).shape
    torch.Size([3, 3])
    """

    def __init__(
        self,
        sites: Iterable[Site],
        components: int,
        *,
        points: int = 5,
        factors: int = 1,
        low: float = -1.0,
        high: float = 1.0,
        width: float = 1.0,
        order: Sequence[int] | Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        """Place the means at random, the factors in random directions, and start from equal weights."""
        if points < 2 or factors < 1 or points**factors > _MOST_POINTS:
            raise SiteError(
                f"expected points >= 2, factors >= 1 and points^factors <= {_MOST_POINTS}, received {points} and "
                f"{factors}; without a factor take a GaussianMixturePrior"
            )
        super().__init__(sites, components, low=low, high=high, width=width, seed=seed)
        self.points, self.factors = points, factors
        self.order = tuple(chain_places(self.sites, order))
        generator = torch.Generator().manual_seed(seed + 1)
        self.loading = nn.Parameter(_signs(factors, self.mean, generator))
        self.raw_correlation = nn.Parameter(torch.empty(factors, components))
        self.label_loading = nn.ParameterDict(
            {
                key: nn.Parameter(0.1 * _signs(factors, logits, generator))
                for key, logits in self.label_logits.items()
            }
        )
        values, weights = standard_binomial(points)
        grid = torch.cartesian_prod(*[values] * factors).view(-1, factors)
        weights = torch.cartesian_prod(*[weights] * factors).view(-1, factors).prod(1)
        for name, constant in (("_values", grid.mT), ("_weights", weights), ("_ways", _ways(points))):
            self.register_buffer(name, constant.contiguous(), persistent=False)
        self._values: Tensor
        self._weights: Tensor
        self._ways: Tensor
        self._restart()

    def forward(self) -> BlockRing:
        """Return the distribution for the current parameters."""
        groups: list[LegGroup] = []
        if self.latents:
            mean = _on_points(self.mean, self.loading, self._values).flatten(1)
            log_sigma = self.log_sigma.clamp(*LOG_SIGMA_RANGE).repeat_interleave(len(self._weights), 1)
            groups.append(GaussianLegs(self.latents, mean, log_sigma, batch_last=True))
        for key, group in self.label_groups.items():
            logits, loading = self.label_logits[key], self.label_loading[key]
            tilted = _on_points(logits.mT, loading.mT, self._values).flatten(2).mT
            groups.append(LabelLegs(group, logits.shape[2], tilted.log_softmax(2)))
        return BlockRing(
            Legs(self.sites, groups),
            self.logits.log_softmax(0),
            self._weights.expand(self.components, -1),
            self._transitions(),
            order=self.order,
        )

    def _transitions(self) -> Tensor:
        """(K - 1, C, L^F, L^F), the same from every site to the next.

        Of one factor a polynomial in the probabilities that a coin keeps its side or turns.
        """
        bound = math.atanh(_LARGEST)
        raw = 2 * self.raw_correlation.clamp(-bound, bound)
        keeps, turns = torch.sigmoid(raw).unsqueeze(-1), torch.sigmoid(-raw).unsqueeze(-1)
        turned = torch.arange(self.points, device=raw.device)
        powers = keeps ** (self.points - 1 - turned) * turns**turned
        # No matrix products: under autocast those would be in half precision.
        first, *others = (powers[..., None, None] * self._ways).sum(2)  # F of (C, L, L)
        for other in others:
            first = (first[..., :, None, :, None] * other[..., None, :, None, :]).flatten(3, 4).flatten(1, 2)
        moves: Tensor = first.expand(len(self.sites) - 1, -1, -1, -1)
        return moves

    @torch.no_grad()
    def assign_components(
        self,
        weight: Float[Tensor, " C"],
        mean: Float[Tensor, "C d"],
        sigma: Float[Tensor, "C d"],
        labels: Sequence[Float[Tensor, "C _"]],
    ) -> None:
        """Overwrite the places: weights, means, standard deviations, and one label table per attribute.

        The factors start again, with their share of the standard deviations.
        """
        super().assign_components(weight, mean, sigma, labels)
        self._restart()

    @torch.no_grad()
    def _restart(self) -> None:
        """Give each factor its share of the width, in its present directions: variances stay what they are."""
        self.raw_correlation.fill_(math.atanh(_CORRELATION))
        self.loading.copy_(_LOADED * self.log_sigma.exp() * self.loading.sign())
        self.log_sigma.add_(0.5 * math.log(1 - self.factors * _LOADED**2))

    def extra_repr(self) -> str:
        """Name the sites, the number of places, of factors and of their points."""
        return f"{super().extra_repr()}, factors={self.factors}, points={self.points}"


def standard_binomial(points: int) -> tuple[Float[Tensor, " L"], Float[Tensor, " L"]]:
    """Return points and weights (L,) of a binomial of equal chances, with mean zero and variance one.

    `t_u = (2 u - n) / sqrt(n)`, `w_u = (n over u) / 2^n`, `n = L - 1`, of at least two points; about N(0, 1).

    >>> standard_binomial(3)
    (tensor([-1.4142,  0.0000,  1.4142]), tensor([0.2500, 0.5000, 0.2500]))
    """
    n = points - 1
    weight = torch.tensor([math.comb(n, u) / 2**n for u in range(points)])
    return (2 * torch.arange(points) - n) / math.sqrt(n), weight


def binomial_chain(points: int, correlation: float) -> Float[Tensor, "L L"]:
    """Return the transitions (L, L) of a chain with the law `standard_binomial`, `E[t' | t] = rho t`.

    u of `n = L - 1` coins show heads, and each turns with probability `(1 - rho) / 2`, a random walk on the discrete
    line as an autoregression is on the real one. Source: the urn of P. and T. Ehrenfest 1907, all balls at once.

    >>> binomial_chain(2, 0.9)
    tensor([[0.9500, 0.0500],
            [0.0500, 0.9500]])
    """
    n, turns = points - 1, (1 - correlation) / 2
    powers = torch.tensor([(1 - turns) ** (n - turned) * turns**turned for turned in range(points)])
    return torch.einsum("n,nuv->uv", powers, _ways(points))


def _ways(points: int) -> Tensor:
    """In how many ways so many coins turn and u heads become v, (turned, u, v)."""
    n = points - 1
    ways = torch.zeros(points, points, points)
    for u in range(points):
        for v in range(points):
            for stay in range(max(0, u + v - n), min(u, v) + 1):
                ways[u + v - 2 * stay, u, v] = math.comb(u, stay) * math.comb(n - u, v - stay)
    return ways


def _on_points(at: Tensor, loading: Tensor, t: Tensor) -> Tensor:
    """`at + sum_f loading_f t_f` (..., C, U) of what is (..., C), with loadings (F, ..., C) and points (F, U)."""
    for own, values in zip(loading.unbind(0), t.unbind(0), strict=True):
        at = (at.unsqueeze(-1) if at.dim() == own.dim() else at) + own.unsqueeze(-1) * values
    return at


def _signs(count: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """Ones and minus ones, (count, ...)."""
    drawn = seeded_uniform(count, *like.shape, generator=generator)
    return torch.where(drawn < 0.5, -1.0, 1.0).to(like)
