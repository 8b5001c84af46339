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

# Pairs (site, component) clamped at once: bounds the memory of a covariance.
_ROWS_AT_ONCE = 256


@torch.no_grad()
def mean_and_variance(p: SiteDistribution) -> tuple[Tensor, Tensor]:
    """Return means and variances (*batch_shape, C) of the visible continuous sites."""
    sites = [site for site in p.visible if site in p.legs.continuous]
    posteriors = marginals.component_posteriors(p)
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

    Components are independent given all indices, so off the diagonal
    `Cov(z_j, z_k) = sum_{s_j} p(s_j) (m_j[s_j] - E z_j) (E[z_k | s_j] - E z_k)`: one clamped row per component
    of every site, and the posteriors of all other sites from the same backward pass.
    """
    for site in sites:
        if site not in p.legs.continuous:
            raise QueryError(f"expected continuous sites, received {p.legs.sites[site].name!r}")
    batch = p.knowledge.rows
    posteriors = marginals.component_posteriors(p)
    parts = [_of_components(p, site) for site in sites]
    means = [
        (posteriors[site] * part[0]).sum(1, keepdim=True) for site, part in zip(sites, parts, strict=True)
    ]
    centred = [part[0] - mean for part, mean in zip(parts, means, strict=True)]  # (B, N) each
    pairs = [(at, s) for at, site in enumerate(sites) for s in range(posteriors[site].shape[1])]
    result = p._like().detach().new_zeros(batch, len(sites), len(sites))
    step = max(1, _ROWS_AT_ONCE // max(1, batch))
    for start in range(0, len(pairs), step):
        chunk = pairs[start : start + step]
        shifts = _conditional_shifts(p, sites, chunk, centred)  # (R, B, C)
        for (at, s), shift in zip(chunk, shifts, strict=True):
            weight = posteriors[sites[at]][:, s] * centred[at][:, s].expand(batch)
            result[:, at] += torch.where(weight.unsqueeze(1) != 0, weight.unsqueeze(1) * shift, 0.0)
    for at, site in enumerate(sites):
        spread = parts[at][1] + centred[at].square()
        result[:, at, at] = (posteriors[site] * spread).sum(1)
    result = (result + result.mT) / 2
    return result.reshape(*p.batch_shape, len(sites), len(sites))


def _conditional_shifts(
    p: SiteDistribution, sites: Sequence[int], chunk: Sequence[tuple[int, int]], centred: Sequence[Tensor]
) -> Tensor:
    """`E[z_k | s_j] - E z_k` for each clamped pair (j, s_j): (R, B, C)."""
    batch = p.knowledge.rows
    blocks = []
    for block in p.legs.blocks(p.knowledge, p._like()):
        rows = block.rows.detach().unsqueeze(1).expand(-1, len(chunk), batch, -1).clone()
        for row, (at, s) in enumerate(chunk):
            if sites[at] in block.sites:
                held = rows[block.sites.index(sites[at]), row]
                keep = held[:, s].clone()
                held.fill_(-torch.inf)
                # A component of probability zero is clamped all the same; its weight in the sum is zero.
                held[:, s] = torch.where(torch.isfinite(keep), keep, torch.zeros_like(keep))
        blocks.append(Block(block.sites, rows.flatten(1, 2)))
    _, found = marginals.posteriors_of_blocks(p, blocks, len(chunk) * batch)
    shifts = [
        (found[site].view(len(chunk), batch, found[site].shape[1]) * centred[at].unsqueeze(0)).sum(2)
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
