"""Exact means, variances and covariances of the continuous sites."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tnprior_core import marginals
from tnprior_core.errors import QueryError
from tnprior_core.legs import Block, GaussianLegs
from tnprior_core.univariate import truncated_moments

if TYPE_CHECKING:
    from tnprior_core.distributions.base import SiteDistribution

__all__ = ["covariance", "mean_and_variance"]

# Rows at once: bounds the memory of a covariance.
_ROWS_AT_ONCE = 256


@torch.no_grad()
def mean_and_variance(p: SiteDistribution) -> tuple[Tensor, Tensor]:
    """Return means and variances (*batch_shape, C) of the visible continuous sites."""
    sites = [site for site in p.visible if site in p.legs.continuous]
    posteriors = marginals.component_posteriors(p, sites)
    means, variances = [], []
    for site in sites:
        mean, variance = _of_components(p, site)
        weight = posteriors[site]
        centre = (weight * mean).sum(1, keepdim=True)
        means.append(centre.squeeze(1))
        variances.append((weight * (variance + (mean - centre).square())).sum(1))
    empty = p._like().new_zeros(p.knowledge.rows, 0)
    shape = (*p.batch_shape, len(sites))
    stacked = (torch.stack(x, 1) if x else empty for x in (means, variances))
    first, second = (x.reshape(shape) for x in stacked)
    return first, second


@torch.no_grad()
def covariance(p: SiteDistribution, sites: Sequence[int]) -> Tensor:
    """Return the covariance (*batch_shape, C, C) of continuous sites.

    Components are independent given all indices, so off the diagonal `Cov(z_j, z_k) = E[d_j d_k]` with
    `d_j[s_j] = m_j[s_j] - E z_j`. With a positive and a negative part of `d_j`, either of them a weight of its site,

        E[d_j d_k] = E[d_j+] E+[d_k] - E[d_j-] E-[d_k],

    where `E+` is the mean under the weights `W[s] d_j+[s_j]`: two rows for every site, however many components it has,
    and all other sites from the same backward pass.
    """
    for site in sites:
        if site not in p.legs.continuous:
            raise QueryError(f"expected continuous sites, received {p.legs.sites[site].name!r}")
    batch = p.knowledge.rows
    posteriors = marginals.component_posteriors(p, sites)
    parts = [_of_components(p, site) for site in sites]
    means = [
        (posteriors[site] * part[0]).sum(1, keepdim=True) for site, part in zip(sites, parts, strict=True)
    ]
    centred = [part[0] - mean for part, mean in zip(parts, means, strict=True)]  # (B, N) each
    sides = [(at, sign) for at in range(len(sites)) for sign in (1, -1)]
    result = p._like().detach().new_zeros(batch, len(sites), len(sites))
    step = max(1, _ROWS_AT_ONCE // max(1, batch))
    for start in range(0, len(sides), step):
        chunk = sides[start : start + step]
        tilts = [(sign * centred[at]).clamp_min(0) for at, sign in chunk]
        shifts = _tilted_shifts(p, sites, [at for at, _ in chunk], tilts, centred)  # (R, B, C)
        for (at, sign), tilt, shift in zip(chunk, tilts, shifts, strict=True):
            weight = sign * (posteriors[sites[at]] * tilt).sum(1, keepdim=True)
            result[:, at] += weight * shift
    for at, site in enumerate(sites):
        spread = parts[at][1] + centred[at].square()
        result[:, at, at] = (posteriors[site] * spread).sum(1)
    result = (result + result.mT) / 2
    return result.reshape(*p.batch_shape, len(sites), len(sites))


def _tilted_shifts(
    p: SiteDistribution,
    sites: Sequence[int],
    tilted: Sequence[int],
    tilts: Sequence[Tensor],
    centred: Sequence[Tensor],
) -> Tensor:
    """`E[d_k]` for every site under each tilt, weights (B, N) of one of the sites: (R, B, C)."""
    batch, blocks = p.knowledge.rows, []
    for block in marginals.apart(p.legs.blocks(p.knowledge, p._like()), sites):
        if block.free and set(sites).isdisjoint(block.sites):
            blocks.append(block)
            continue
        rows = block.rows.detach().unsqueeze(1).expand(-1, len(tilts), batch, -1).clone()
        for row, (at, tilt) in enumerate(zip(tilted, tilts, strict=True)):
            if sites[at] in block.sites:
                rows[block.sites.index(sites[at]), row] += tilt.log()
        blocks.append(Block(block.sites, rows.flatten(1, 2)))
    _, found = marginals.posteriors_of_blocks(p, blocks, len(tilts) * batch, sites)
    shifts = [
        (found[site].view(len(tilts), batch, found[site].shape[1]) * centred[at].unsqueeze(0)).sum(2)
        for at, site in enumerate(sites)
    ]
    return torch.stack(shifts, 2)


def _of_components(p: SiteDistribution, site: int) -> tuple[Tensor, Tensor]:
    group, at = p.legs.where[site]
    if not isinstance(group, GaussianLegs):
        raise QueryError(f"expected a continuous site, received {p.legs.sites[site].name!r}")
    mean, sigma, low, high = marginals.normals(p, site, group, at)
    exact = sigma == 0
    safe = torch.where(exact, torch.ones_like(sigma), sigma)
    first, second = truncated_moments(
        *torch.broadcast_tensors(mean, safe, low.unsqueeze(1), high.unsqueeze(1))
    )
    return torch.where(exact, mean, first), torch.where(exact, torch.zeros_like(second), second)
