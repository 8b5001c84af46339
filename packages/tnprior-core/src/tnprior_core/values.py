"""From component indices to values: draws on every leg given what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tnprior_core.compiled import array, draws_ahead, kernels
from tnprior_core.knowledge import Knowledge, SoftLabels, SoftNormal
from tnprior_core.legs import Block, GaussianLegs, LabelLegs, LegGroup
from tnprior_core.neighbours import rows_of, write_rows
from tnprior_core.noise import BLOCK, Noise, draw_noise
from tnprior_core.normal import truncated_draw
from tnprior_core.parts import in_threads, once_in_threads, parts_for, shares
from tnprior_core.sampling import pick
from tnprior_core.scratch import lent
from tnprior_core.tables import numbered

if TYPE_CHECKING:
    from tnprior_core.distributions.base import SiteDistribution

__all__ = ["draw_values"]

_AT_ONCE = 16 * BLOCK
"""Samples whose noise and indices are held at one time, by each thread."""
_WORTH_A_THREAD = 1 << 17
"""Values, about four milliseconds."""
_WORTH_ALL_THREADS = 4
"""Numbers in tables per value, from which all of torch's threads make them, before any noise is drawn."""


def draw_values(p: SiteDistribution, count: int, *, seed: int, first: int, first_row: int) -> Tensor:
    """Return samples (count, K), or (count, B, K) given per-example knowledge, of all sites of `p`."""
    like, batch, width = p._like(), p.knowledge.batch, len(p.legs.sites)
    if count == 0 or batch == 0:
        return like.new_zeros(*((count,) if batch is None else (count, batch)), width)
    emits = any(isinstance(group, LabelLegs) and group.log_emission is not None for group in p.legs.groups)
    uniforms = (3 if emits else 2) * width + 1
    blocks = p.legs.blocks(p.knowledge, like)
    if batch is None:
        return _draw_alike(p, blocks, uniforms, count, seed=seed, first=first)
    parts = [
        draw_noise(uniforms, width, batch, seed=seed, stream=1 + first + i, first=first_row)
        for i in range(count)
    ]
    noise = Noise(*(torch.cat([part[at] for part in parts], 1) for at in (0, 1)))
    values = like.new_empty(width, count * batch)
    _draw(p, blocks, noise, torch.arange(batch, device=like.device).repeat(count), values)
    return values.mT.reshape(count, batch, width)


def _draw_alike(
    p: SiteDistribution, blocks: Sequence[Block], uniforms: int, count: int, *, seed: int, first: int
) -> Tensor:
    """Samples (count, K) that share their evidence."""
    like, width = p._like(), len(p.legs.sites)
    values = like.new_empty(width, count)
    draws_ahead(count * width, like.device)
    least = min(-(-_WORTH_A_THREAD // (width * BLOCK)) * BLOCK, _AT_ONCE)
    slices = shares(count, least=least, most=_AT_ONCE, grain=BLOCK, device=like.device)
    prepare = once_in_threads(lambda: p._prepare_draws(blocks, count, len(slices)))
    if p._table_size > _WORTH_ALL_THREADS * count * width:
        prepare()

    def draw(part: slice) -> None:
        with lent():
            if part.start == 0:  # one thread makes the tables while the others draw their noise
                prepare()
            noise = draw_noise(uniforms, width, part.stop - part.start, seed=seed, first=first + part.start)
            prepare()
            _draw(p, blocks, noise, None, values[:, part])

    in_threads(draw, slices, like.device)
    return values.mT


def _draw(
    p: SiteDistribution, blocks: Sequence[Block], noise: Noise, which: Tensor | None, values: Tensor
) -> None:
    """Fill `values` (K, S), one column for each of the noise."""
    noise = Noise(noise.uniform.to(values), noise.normal.to(values))
    states = p._draw_states(blocks, noise.uniform, which)
    for group in p.legs.groups:
        _draw_group(group, p.knowledge, states, noise, which, values)
    _insert_known(p.knowledge, which, values)


def _draw_group(
    group: LegGroup, knowledge: Knowledge, states: Tensor, noise: Noise, which: Tensor | None, values: Tensor
) -> None:
    if isinstance(group, GaussianLegs):
        _draw_normals(group, states, noise.normal, values)
    elif group.log_emission is None:
        write_rows(values, group.sites, rows_of(states, group.sites).to(values))
    for at, site in enumerate(group.sites):
        soft = knowledge.soft.get(site)
        if isinstance(group, GaussianLegs) and isinstance(soft, SoftNormal):
            values[site] = _draw_soft(group, at, soft, states[site], noise.normal[site], which)
        elif isinstance(group, LabelLegs) and group.log_emission is not None:
            uniform = noise.uniform[2 * len(values) + 1 + site]
            likelihood = soft if isinstance(soft, SoftLabels) else None
            values[site] = _draw_label(group.log_emission[at], likelihood, states[site], uniform, which).to(
                values
            )


def _draw_normals(group: GaussianLegs, states: Tensor, normal: Tensor, values: Tensor) -> None:
    """Values `mu_s + sigma_s eps` of all sites of a group, given their components."""
    sigma = group.log_sigma.exp()

    def fill(part: slice) -> None:
        sites = group.sites[part]
        drawn = rows_of(values, sites)
        _place(group.mean[part], sigma[part], rows_of(states, sites), rows_of(normal, sites), drawn)
        write_rows(values, sites, drawn)

    in_parts = parts_for(states.device)
    in_parts(fill, len(group.sites), states.shape[1])


def _place(mean: Tensor, sigma: Tensor, states: Tensor, normal: Tensor, out: Tensor) -> None:
    """Means and deviations (n, N), the others (n, S)."""
    loops = kernels(states.device)
    if loops is not None:
        loops.place(*map(array, (mean, sigma, states, normal, out)))
        return
    component = numbered(states, mean.shape[1])
    flat = component.flatten()
    scaled = sigma.flatten().index_select(0, flat).view(component.shape).mul_(normal)
    torch.add(scaled, mean.flatten().index_select(0, flat).view(component.shape), out=out)


def _draw_soft(
    group: GaussianLegs, at: int, soft: SoftNormal, component: Tensor, normal: Tensor, which: Tensor | None
) -> Tensor:
    mean, sigma = group.updated(at, soft)
    row = torch.zeros_like(component) if which is None else which
    rows = mean.shape[0]
    row = row if rows > 1 else torch.zeros_like(row)
    low, high = (x.expand(rows)[row] for x in (soft.low, soft.high))
    return truncated_draw(normal, low, high, mean[row, component], sigma.expand_as(mean)[row, component])


def _draw_label(
    log_emission: Tensor, soft: SoftLabels | None, component: Tensor, uniform: Tensor, which: Tensor | None
) -> Tensor:
    logits = log_emission.index_select(0, component)
    if soft is not None:
        rows = soft.log_likelihood
        logits = logits + (rows if which is None or len(rows) == 1 else rows.index_select(0, which))
    return pick((logits - logits.amax(1, keepdim=True)).exp(), uniform)


def _insert_known(knowledge: Knowledge, which: Tensor | None, values: Tensor) -> None:
    exact = knowledge.exact
    if exact is None:
        return
    table, known = exact.values.mT, exact.known.mT
    if which is not None and table.shape[1] > 1:
        table, known = table.index_select(1, which), known.index_select(1, which)
    values.copy_(torch.where(known, table, values))
