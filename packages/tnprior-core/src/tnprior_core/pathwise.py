"""Gradients that follow the samples: implicit reparameterisation along the chain.

With `F_k` the distribution function of `p(z_k | z_<k, evidence)`, a mixture of (truncated) normals, and `f_k` its
density, `F_k(z_k) = u_k` held fixed defines how a drawn value moves with the parameters and with the values before
it: `dz_k = - dF_k(z_k) / f_k(z_k)`. So

    z_k - (F_k(z_k) - stop(F_k(z_k))) / stop(f_k(z_k))

has the drawn value and that derivative. The components' weights in `F_k` come from one differentiable `filter` pass.

Source: Figurnov, Mohamed, Mnih 2018, "Implicit reparameterization gradients", equations 4 and 6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from tnprior_core.knowledge import Knowledge, SoftNormal
from tnprior_core.legs import GaussianLegs
from tnprior_core.normal import log_interval, log_normal

if TYPE_CHECKING:
    from tnprior_core.distributions.base import SiteDistribution

__all__ = ["attach_paths"]


class _Law(NamedTuple):
    """A site's components at its drawn values, each (S, N); gradients reach their parameters, never the values.

    log_density
        of the components before any evidence: what the value tells the other sites.
    slope, density
        the derivative of `log_density` with respect to the value, and the density given the evidence: constants.
    below, above
        probabilities, given the evidence, of a smaller and of a larger value.
    """

    log_density: Tensor
    slope: Tensor
    density: Tensor
    below: Tensor
    above: Tensor


def attach_paths(p: SiteDistribution, drawn: Tensor, *, floor: float) -> Tensor:
    """Return the drawn values (S, K of all legs) with gradients of the visible continuous sites.

    drawn
        samples of `p`; row i obeys the evidence of example `i % B`.
    floor
        smallest density that a value is divided by, see `SiteDistribution.rsample`.
    """
    drawn = drawn.detach()
    batch = p.knowledge.batch
    which = None if batch is None else torch.arange(batch, device=drawn.device).repeat(len(drawn) // batch)
    knowledge = p.knowledge if which is None else p.knowledge.select(which)
    sites = frozenset(p.visible).intersection(p.legs.continuous)
    laws = _laws(p, knowledge, drawn, sites)

    def step(site: int, weights: Tensor) -> tuple[Tensor, Tensor]:
        law = laws[site]
        move = _hold_known(_move(law, weights, floor), knowledge, site)
        return move, law.log_density + law.slope * move.unsqueeze(1)

    found = p._filter(p.legs.blocks(knowledge, p._like()), sites)
    moves = found.follow(sites, step, len(drawn))
    return torch.stack(
        [column + moves[site] if site in moves else column for site, column in enumerate(drawn.unbind(1))], 1
    )


def _move(law: _Law, weights: Tensor, floor: float) -> Tensor:
    """Zero (S,), with the derivative `-dF / f`."""
    held = weights.detach()
    density = (held * law.density).sum(1).clamp_min(max(floor, torch.finfo(held.dtype).tiny))
    # 1 - F in the upper half: there the small differences between components have their digits.
    upper = ((held * law.below.detach()).sum(1) > 0.5).unsqueeze(1)
    level = (weights * torch.where(upper, -law.above, law.below)).sum(1)
    return (level.detach() - level) / density


def _hold_known(move: Tensor, knowledge: Knowledge, site: int) -> Tensor:
    """A value that is known moves with itself alone."""
    exact = knowledge.exact
    if exact is None or site not in exact.columns:
        return move
    known = exact.known[:, site]
    value = torch.where(known, exact.values[:, site], torch.zeros_like(exact.values[:, site]))
    return torch.where(known, value - value.detach(), move)


def _laws(p: SiteDistribution, knowledge: Knowledge, drawn: Tensor, sites: frozenset[int]) -> dict[int, _Law]:
    laws: dict[int, _Law] = {}
    for group in p.legs.groups:
        if not isinstance(group, GaussianLegs) or sites.isdisjoint(group.sites):
            continue
        laws.update(zip(group.sites, _free_laws(group, drawn), strict=True))
        for at, site in enumerate(group.sites):
            soft = knowledge.soft.get(site)
            if site in sites and isinstance(soft, SoftNormal):
                laws[site] = _soft_law(group, at, soft, drawn[:, site : site + 1], laws[site])
    return laws


def _free_laws(group: GaussianLegs, drawn: Tensor) -> list[_Law]:
    """The components of all sites of a group in one go."""
    columns = torch.as_tensor(group.sites, device=drawn.device)
    value = drawn.index_select(1, columns).mT.unsqueeze(2)
    mean, log_sigma = group.mean.unsqueeze(1), group.log_sigma.unsqueeze(1)
    log_density = log_normal(value, mean, log_sigma)
    standard = (value - mean) * torch.exp(-log_sigma)
    slope = -standard.detach() * torch.exp(-log_sigma.detach())
    below, above = torch.special.ndtr(standard), torch.special.ndtr(-standard)
    parts = (log_density, slope, log_density.detach().exp(), below, above)
    return [_Law(*one) for one in zip(*(part.unbind(0) for part in parts), strict=True)]


def _soft_law(group: GaussianLegs, at: int, soft: SoftNormal, value: Tensor, free: _Law) -> _Law:
    """Components that were multiplied with a measurement and cut to an interval."""
    mean, sigma = group.updated(at, soft)
    low, high = soft.low.unsqueeze(1), soft.high.unsqueeze(1)
    size = log_interval(low, high, mean, sigma)
    log_density = log_normal(value, mean, sigma.log()) - size
    below = (log_interval(low, value, mean, sigma) - size).exp()
    above = (log_interval(value, high, mean, sigma) - size).exp()
    return _Law(free.log_density, free.slope, log_density.detach().exp(), below, above)
