"""Latents as independent standard normal scores, and back: the Rosenblatt transform along the chain.

With `F_k` the distribution function of `p(z_k | z_<k, evidence)`, a mixture of (truncated) normals,

    e_k = Phi^-1(F_k(z_k)),    z_k = F_k^-1(Phi(e_k)),    k in chain order,

maps the distribution of the latents to N(0, I) and back, exactly and one to one. Whatever a standard normal allows
(a great circle between two points, one noise for two conditions) carries over to the distribution.

Sources: Rosenblatt 1952, "Remarks on a multivariate transformation"; Knothe 1957.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from tnprior_core.distributions.base import SiteDistribution
from tnprior_core.distributions.flow import Flow
from tnprior_core.errors import QueryError, ShapeError
from tnprior_core.legs import GaussianLegs
from tnprior_core.marginals import normals
from tnprior_core.normal import log_normal
from tnprior_core.quantile import normal_score, quantile
from tnprior_core.univariate import NormalMixture
from tnprior_core.wording import flat_table

__all__ = ["inverse_rosenblatt", "rosenblatt"]


def rosenblatt(p: SiteDistribution, z: Float[Tensor, "*values d"]) -> Float[Tensor, "*rows d"]:
    """Return the normal scores `Phi^-1(F_k(z_k | z_<k, what p knows))` of latents; those of a sample are N(0, I).

    Labels are summed out unless `p` was conditioned on them; k runs in the order of the chain. Behind a flow
    the scores are those of the base's latents.

    z
        (..., d), the visible continuous sites in their order, broadcast against batch_shape. A value outside the
        interval that its site was conditioned on scores minus or plus infinity.

    The scores carry no gradient. Raises QueryError where a latent is known exactly or there is none, ShapeError for
    a wrong shape or a number that is not finite, ImpossibleEvidenceError.

    >>> from tnprior_core import Gaussian, StandardNormalPrior
    >>> p = StandardNormalPrior([Gaussian("z0"), Gaussian("z1")])()
    >>> rosenblatt(p, torch.tensor([0.5, -1.0]))
    tensor([ 0.5000, -1.0000])
    """
    with torch.no_grad(), torch.autocast(z.device.type, enabled=False):
        if isinstance(p, Flow):
            table, _, rows = flat_table(z, None, len(p.columns), p.batch_shape, p._like())
            return rosenblatt(_base(p), p.flow(table).value.view(*rows, len(p.columns)))
        chain = _Chain(p, z)
        scores = torch.empty_like(chain.table)
        for site, column in chain.visits():
            value = chain.table[:, column]
            scores[:, column] = normal_score(chain.law(site), value).to(scores)
            chain.learn(site, value)
        return scores.view(chain.shape)


def inverse_rosenblatt(p: SiteDistribution, scores: Float[Tensor, "*values d"]) -> Float[Tensor, "*rows d"]:
    """Return the latents with these normal scores; scores from N(0, I) give exact samples of the latents.

    scores
        (..., d), finite, for the visible continuous sites in their order, broadcast against batch_shape.

    The latents carry no gradient; those of `rsample` do. Raises as `rosenblatt`.

    >>> from tnprior_core import Gaussian, TensorRingPrior
    >>> p = TensorRingPrior([Gaussian("z0", 3), Gaussian("z1", 3)], rank=2).double()()
    >>> z = p.sample((5,), seed=1)
    >>> torch.allclose(inverse_rosenblatt(p, rosenblatt(p, z)), z)
    True
    """
    with torch.no_grad(), torch.autocast(scores.device.type, enabled=False):
        if isinstance(p, Flow):
            z = inverse_rosenblatt(_base(p), scores)
            return p.flow.inverse(z.reshape(-1, z.shape[-1])).view(z.shape)
        chain = _Chain(p, scores)
        latents = torch.empty_like(chain.table)
        for site, column in chain.visits():
            latents[:, column] = quantile(chain.law(site), chain.table[:, column]).to(latents)
            chain.learn(site, latents[:, column])
        return latents.view(chain.shape)


class _Chain:
    """The conditional laws of the latents of many rows, one site after the other.

    table
        (S, d), what was handed in, one row per answer; `shape` is that of the answer.
    """

    def __init__(self, p: SiteDistribution, given: Tensor) -> None:
        """Check what was asked, and give every row the evidence of its example."""
        self.columns = {
            site: at for at, site in enumerate(site for site in p.visible if site in p.legs.continuous)
        }
        _check_free(p, self.columns)
        self.table, _, rows = flat_table(given, None, len(self.columns), p.batch_shape, p._like())
        self.shape = (*rows, len(self.columns))
        if not bool(torch.isfinite(self.table).all()):
            raise ShapeError("expected finite numbers, received NaN or infinity")
        if not p.knowledge.empty:
            p._require_possible()
        repeats = len(self.table) // max(1, p.knowledge.rows)
        self.p = p._replaced(knowledge=p.knowledge.expand(repeats))
        blocks = p.legs.blocks(self.p.knowledge, p._like())
        self.filter = self.p._filter(blocks, frozenset(self.columns))

    def visits(self) -> Iterator[tuple[int, int]]:
        """Site and column of every latent, in chain order."""
        return ((site, self.columns[site]) for site in self.filter.order if site in self.columns)

    def law(self, site: int) -> NormalMixture:
        """`p(z_k | values learned, evidence)` of each row."""
        weights = self.filter.weights(site)
        return NormalMixture(weights, *normals(self.p, site, *self._normals(site)))

    def learn(self, site: int, value: Tensor) -> None:
        """Take in the values (S,) of the site asked for last."""
        group, at = self._normals(site)
        self.filter.learn(site, log_normal(value.unsqueeze(1), group.mean[at], group.log_sigma[at]))

    def _normals(self, site: int) -> tuple[GaussianLegs, int]:
        group, at = self.p.legs.where[site]
        if not isinstance(group, GaussianLegs):
            raise QueryError(f"expected a continuous site, received {self.p.legs.sites[site].name!r}")
        return group, at


def _check_free(p: SiteDistribution, columns: Mapping[int, int]) -> None:
    if not columns:
        raise QueryError(f"expected a continuous site to transform, received {p!r}")
    exact = p.knowledge.exact
    known = [] if exact is None else [site for site in columns if bool(exact.known[:, site].any())]
    if known:
        names = [p.legs.sites[site].name for site in known]
        raise QueryError(
            f"expected latents that are not known exactly, received {names}; "
            "take the marginal of the others, or transform before conditioning"
        )


def _base(p: Flow) -> SiteDistribution:
    if p.seen is not None:
        raise QueryError(f"expected latents that are not known exactly, received {p!r}")
    return p.base
