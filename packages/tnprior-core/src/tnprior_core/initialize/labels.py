"""A start that tells the attributes apart before there is any code to look at.

From noise, every bond index has the same opinion about every label, so log p(y | z) has no gradient worth the name:
the encoder settles on codes that ignore the attributes, and the prior then finds little to learn from them. Here each
attribute gets the latents around it, and the bond indices there stand for its labels, each at a random place of its
own. An encoder trained against that puts every label at its place from the first step on.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tnprior_core.errors import SiteError
from tnprior_core.initialize.clusters import persistent_core, smallest_bond
from tnprior_core.initialize.ordering import interleaved_order
from tnprior_core.priors.components import ComponentsPrior
from tnprior_core.priors.network import NetworkPrior
from tnprior_core.seeded import seeded_normal

__all__ = ["attribute_groups", "initialize_from_labels"]


@torch.no_grad()
def initialize_from_labels(
    prior: NetworkPrior | ComponentsPrior,
    *,
    seed: int = 0,
    spread: float = 1.0,
    purity: float = 0.9,
    leak: float = 0.02,
    switch: float = 0.0,
) -> None:
    """Overwrite the cores so that every attribute owns the latents nearest to it along the chain.

    Within a group bond index c stands for label `c mod C`, says so with probability `purity`, and puts latent k at
    `spread (u_k[label] + e_k[c])`, u and e standard normal, u balanced over the labels. From site to site c stays, or
    is another index of its label, or, seldom, of any: `T = leak / m + (1 - leak) ((1 - switch) I + switch S)`, S even
    over the indices of a label. Between groups the bond forgets its state: the attributes start independent.
    Component means and widths stay as they are.

    A component of a mixture stands for a label of every attribute, in random combinations, and has its mean at their
    places; latents belong to attributes as along `interleaved_order(sites)`, weights become equal, widths stay.

    prior
        a train or ring, with `order=interleaved_order(sites)` when it has several attributes; or a mixture
        or factor ring, which is meant by a mixture below.
    seed, spread
        of the places, and how far apart they are in units of the latents.
    purity
        0.5 ... 1, how far a bond index is sure of its label.
    leak
        probability per site of changing the bond index within a group; a mixture has none.
    switch
        probability per site of changing it among those of one label; a mixture has none. With 1 a label has (m / C)^d
        places: given it, the latents of a group are independent, each at one of m / C.

    Raises SiteError if there is no attribute to tell apart, or a setting is out of range.

    >>> from tnprior_core import Categorical, Gaussian, TensorTrainPrior
    >>> sites = [Gaussian("z0", 10), Gaussian("z1", 10), Categorical("hat")]
    >>> prior = TensorTrainPrior(sites, rank=4)
    >>> initialize_from_labels(prior)
    >>> z = prior().condition({"hat": "1"}).sample((200,), seed=0)
    >>> codes = torch.cat([z[:, :2], torch.full((200, 1), torch.nan)], 1)
    >>> told = prior().observe(codes, ~codes.isnan()).marginal("hat").probs[:, 1]
    >>> bool(told.mean() > 0.6)
    True
    """
    _require(prior, spread, purity, leak, switch)
    if isinstance(prior, ComponentsPrior):
        _start_components(prior, seed, spread, purity)
    else:
        _start_cores(prior, seed, spread, purity, leak, switch)


def _require(
    prior: NetworkPrior | ComponentsPrior, spread: float, purity: float, leak: float, switch: float
) -> None:
    if not prior.attributes:
        raise SiteError("expected at least one categorical site to tell apart, received none")
    if spread <= 0 or not 0 < leak <= 1 or not 0.5 <= purity <= 1 or not 0 <= switch <= 1:
        raise SiteError(
            "expected spread > 0, 0 < leak <= 1, 0.5 <= purity <= 1, 0 <= switch <= 1, received "
            f"{spread}, {leak}, {purity}, {switch}"
        )


def _start_cores(
    prior: NetworkPrior, seed: int, spread: float, purity: float, leak: float, switch: float
) -> None:
    cores, groups = prior.cores(), attribute_groups([site in prior.attributes for site in prior.order])
    tables = _tables(prior, groups, smallest_bond(cores, closed=prior.closed), seed, spread, purity)
    new: list[Tensor] = []
    for place, (table, core) in enumerate(zip(tables, cores, strict=True)):
        last = place + 1 == len(groups) or groups[place + 1] != groups[place]
        weight = torch.full((len(table),), 1 / len(table)) if place == 0 else None
        moves = _moves(len(table), prior.sites[prior.order[groups[place]]].states, switch)
        new.append(persistent_core(table, core, weight, 1.0 if last else leak, moves).to(core))
    prior.assign_cores(new)


def _start_components(prior: ComponentsPrior, seed: int, spread: float, purity: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    order = interleaved_order(prior.sites)
    groups = attribute_groups([site in prior.attributes for site in order])
    count = prior.components
    label = {a: _shuffled(count, prior.sites[a].states, generator) for a in prior.attributes}
    mean = torch.empty(count, len(prior.latents))
    for place, site in enumerate(order):
        if site in prior.attributes:
            continue
        attribute = order[groups[place]]
        told, states = label[attribute], prior.sites[attribute].states
        mean[:, prior.latents.index(site)] = _place(told, states, spread, generator)
    # A logit of -inf would be a parameter that no average of weights can follow.
    tiny = torch.finfo(prior.logits.dtype).tiny
    tables = [_sure(label[a], prior.sites[a].states, purity).clamp_min(tiny) for a in prior.attributes]
    sigma = prior.log_sigma.exp().mT
    prior.assign_components(torch.full((count,), 1 / count), mean.to(sigma), sigma, tables)


def _shuffled(count: int, states: int, generator: torch.Generator) -> Tensor:
    """A label for each of `count` components, all labels equally often, in random order."""
    places = torch.randperm(count, generator=generator, device="cpu").to(torch.get_default_device())
    return torch.arange(count)[places] % states


def _sure(label: Tensor, states: int, purity: float) -> Tensor:
    """Rows (C, states) that give the label of each index probability `purity`, and the rest to all evenly."""
    table = torch.full((len(label), states), (1 - purity) / states)
    table[torch.arange(len(label)), label] += purity
    return table


def _moves(count: int, states: int, switch: float) -> Tensor:
    """Where a bond index goes: it stays, or with probability `switch` is any of those that stand for its label."""
    label = torch.arange(count) % states
    alike = (label.unsqueeze(1) == label).double()
    return (1 - switch) * torch.eye(count, dtype=alike.dtype) + switch * alike / alike.sum(1, keepdim=True)


def _tables(
    prior: NetworkPrior, groups: Sequence[int], count: int, seed: int, spread: float, purity: float
) -> list[Tensor]:
    """What each of `count` bond indices says about the states of each site, (count, N_k), in chain order."""
    generator = torch.Generator().manual_seed(seed)
    tables = []
    for place, site in enumerate(prior.order):
        states = prior.sites[prior.order[groups[place]]].states
        label = torch.arange(count) % states
        if groups[place] == place:
            table = _sure(label, states, purity)
        else:
            table = _places(_grid(prior, site), label, states, spread, generator)
        tables.append(table)
    return tables


def attribute_groups(kinds: Sequence[bool]) -> list[int]:
    """For each place of a chain the place of the nearest attribute (the left one of two equally near).

    >>> attribute_groups([False, True, False, False, False, True])
    [1, 1, 1, 1, 5, 5]
    """
    attributes = [place for place, attribute in enumerate(kinds) if attribute]
    return [min(attributes, key=lambda at: (abs(at - place), at)) for place in range(len(kinds))]


def _grid(prior: NetworkPrior, site: int) -> Tensor:
    """The component means (N,) of one latent."""
    found: list[Tensor] = [
        prior.mean[key][group.index(site)] for key, group in prior.leg_groups.items() if site in group
    ]
    return found[0].detach().to(torch.get_default_device())  # where the tables are made


def _places(grid: Tensor, label: Tensor, labels: int, spread: float, generator: torch.Generator) -> Tensor:
    """Component weights (C, N) of one latent: a bump of the grid's spacing around each index's place."""
    place = _place(label, labels, spread, generator)
    span = (grid.max() - grid.min()).clamp_min(1e-6)
    place = place.clamp(grid.min().item(), grid.max().item())
    width = span / max(len(grid) - 1, 1)
    distance = (grid - place.unsqueeze(1)) / width
    return torch.softmax(-0.5 * distance.square(), 1)


def _place(label: Tensor, labels: int, spread: float, generator: torch.Generator) -> Tensor:
    """Where each index (C,) puts one latent: `spread (u[label] + e[c])`."""
    common = seeded_normal(labels, generator=generator)
    common = (common - common.mean()) / common.std(correction=0).clamp_min(1e-6)
    return spread * (common[label] + seeded_normal(len(label), generator=generator))
