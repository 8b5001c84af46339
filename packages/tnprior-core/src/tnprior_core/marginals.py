"""Posteriors of every site at once: one forward and one backward pass over the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution

from tnprior_core.detached import detached
from tnprior_core.knowledge import SoftLabels, SoftNormal
from tnprior_core.legs import Block, GaussianLegs, LabelLegs
from tnprior_core.univariate import NormalMixture

if TYPE_CHECKING:
    from tnprior_core.distributions.base import SiteDistribution

__all__ = ["apart", "component_posteriors", "of_sites", "posteriors_of_blocks"]


def posteriors_of_blocks(
    p: SiteDistribution, blocks: Sequence[Block], rows: int, sites: Sequence[int] | None = None
) -> tuple[Tensor, dict[int, Tensor]]:
    """Return `log F` (rows,) and the posterior (rows, N_k) of every site's component index.

    sites
        which are needed, at least; the backward pass stops where the last of them is done. None or none for all.

    `p(s_k | e) = d log F / d log w_k[s_k]`: the rows enter multiplied by their core, so the derivative with
    respect to the logarithm of a weight is the share of the total mass that goes through it.
    """
    blocks = apart(blocks, sites) if sites else blocks
    needed = [not sites or not set(sites).isdisjoint(block.sites) for block in blocks]
    with torch.inference_mode(False), torch.enable_grad():
        met = [
            _wide(block, rows) if need else replace(block, rows=detached(block.rows))
            for block, need in zip(blocks, needed, strict=True)
        ]
        chosen = [block for block, need in zip(met, needed, strict=True) if need]
        mass = p._detached()._log_mass(met).expand(rows)
        with torch.autocast(mass.device.type, enabled=False):
            slopes = torch.autograd.grad(mass.sum(), [block.rows for block in chosen])
    found = {
        site: slope[at]
        for block, slope in zip(chosen, slopes, strict=True)
        for at, site in enumerate(block.sites)
    }
    return mass.detach(), found


def _wide(block: Block, rows: int) -> Block:
    """The block with a leaf of its own for every example."""
    return Block(block.sites, detached(block.rows).expand(-1, rows, -1).clone().requires_grad_())


def apart(blocks: Sequence[Block], sites: Sequence[int]) -> list[Block]:
    """Keep sites free of which nothing is known and nothing is asked, so that nobody has to walk through them."""
    result = []
    for block in blocks:
        asked = [site for site in block.sites if site in sites]
        rest = [site for site in block.sites if site not in sites]
        if block.free and asked and rest:
            result += [Block(tuple(some), block.rows[: len(some)], free=True) for some in (asked, rest)]
        else:
            result.append(block)
    return result


def component_posteriors(p: SiteDistribution, sites: Sequence[int] | None = None) -> dict[int, Tensor]:
    """Return `p(s_k | what p knows)` (B or 1, N_k), by position, of the given sites at least (None: all)."""
    with torch.no_grad():
        blocks = p.legs.blocks(p.knowledge, p._like())
    mass, found = posteriors_of_blocks(p, blocks, p.knowledge.rows, sites)
    p._require_possible(mass)
    return found


def of_sites(p: SiteDistribution, sites: Sequence[int]) -> dict[str, Distribution]:
    """Return the univariate marginals of sites, by name."""
    posteriors = component_posteriors(p, sites)
    with torch.no_grad():
        return {p.legs.sites[site].name: _marginal(p, site, posteriors[site]) for site in sites}


def _marginal(p: SiteDistribution, site: int, posterior: Tensor) -> Distribution:
    group, at = p.legs.where[site]
    rows, batch = p.knowledge.rows, p.batch_shape
    if isinstance(group, LabelLegs):
        probs = _label_probs(p, site, group, at, posterior).expand(rows, group.labels)
        return Categorical(probs=probs.reshape(*batch, group.labels), validate_args=False)
    mean, sigma, low, high = normals(p, site, group, at)
    weights, mean, sigma = (
        x.expand(rows, group.states).reshape(*batch, group.states) for x in (posterior, mean, sigma)
    )
    low, high = (x.expand(rows).reshape(batch) for x in (low, high))
    return NormalMixture(weights, mean, sigma, low, high)


def normals(
    p: SiteDistribution, site: int, group: GaussianLegs, at: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean, sigma (Be, N), low and high (Be,) of a site's components given what is known of it.

    A value known exactly is a normal of width zero.
    """
    soft = p.knowledge.soft.get(site)
    mean, sigma = group.mean[at].detach().unsqueeze(0), group.log_sigma[at].detach().exp().unsqueeze(0)
    infinite = torch.full_like(mean[:, 0], torch.inf)
    low, high = -infinite, infinite
    if isinstance(soft, SoftNormal):
        mean, sigma = (x.detach().reshape(-1, group.states) for x in group.updated(at, soft))
        low, high = soft.low, soft.high
    exact = p.knowledge.exact
    if exact is not None and site in exact.columns:
        known = exact.known[:, site]
        mean = torch.where(known.unsqueeze(1), exact.values[:, site].unsqueeze(1), mean)
        sigma = torch.where(known.unsqueeze(1), torch.zeros_like(mean), sigma)
        low = torch.where(known, -infinite, low)
        high = torch.where(known, infinite, high)
    return mean, sigma, low, high


def _label_probs(p: SiteDistribution, site: int, group: LabelLegs, at: int, posterior: Tensor) -> Tensor:
    if group.log_emission is None:
        return posterior
    logits = group.log_emission[at].detach().unsqueeze(0)
    soft, exact = p.knowledge.soft.get(site), p.knowledge.exact
    if isinstance(soft, SoftLabels):
        logits = logits + soft.log_likelihood.unsqueeze(1)
    probs = (posterior.unsqueeze(2) * logits.softmax(2)).sum(1)
    if exact is not None and site in exact.columns:
        code = torch.where(
            exact.known[:, site], exact.values[:, site], torch.zeros_like(exact.values[:, site])
        )
        one_hot = torch.nn.functional.one_hot(code.long(), group.labels).to(probs)
        probs = torch.where(exact.known[:, site].unsqueeze(1), one_hot, probs)
    return probs
