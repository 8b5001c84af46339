"""Ways along a prior: between two of its samples, and between two conditions with the same noise.

A straight line between two latents leaves the mass of a mixture. The scores of `rosenblatt` are N(0, I), whatever the
prior, so what is right for a standard normal is done with them and carried back.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tnprior_core import Likelihood, SiteDistribution, inverse_rosenblatt, rosenblatt
from tnprior_models.layout import SiteLayout

Allowed = Mapping[str, frozenset[str]]


def quarter_circle(law: SiteDistribution, ends: tuple[Tensor, Tensor], shares: Sequence[float]) -> Tensor:
    """Latents (n, steps, d) on the way from one sample to another; every one of them is a sample of the law.

    `e(t) = cos(pi t / 2) e_0 + sin(pi t / 2) e_1` of the scores of the ends, t in `shares`: independent N(0, I) ends
    make e(t) N(0, I) for every t. A standard normal law is interpolated on the sphere.
    """
    first, second = (rosenblatt(law, end) for end in ends)
    angles = [share * math.pi / 2 for share in shares]
    steps = [inverse_rosenblatt(law, math.cos(a) * first + math.sin(a) * second) for a in angles]
    return torch.stack(steps, 1)


def same_noise(laws: Sequence[SiteDistribution], start: Tensor) -> Tensor:
    """Latents (n, steps, d): samples of the first law, and what their scores are under each of the laws.

    One noise, carried from condition to condition; column j is an exact sample of law j.
    """
    scores = rosenblatt(laws[0], start)
    return torch.stack([inverse_rosenblatt(law, scores) for law in laws], 1)


def laws_between(
    law: SiteDistribution, before: Allowed, after: Allowed, shares: Sequence[float]
) -> list[SiteDistribution]:
    """The law given one condition, given another, and between them given either, with odds (1 - t) : t.

    For one attribute that is the mixture `(1 - t) p(z | before) + t p(z | after)`; of several attributes each is
    softened by itself, and the law says how they go together.

    Args:
        law: what both conditions are added to; both are possible under it.
        before, after: attribute -> the labels that it may have.
        shares: t of each law, from 0 to 1.
    """
    weights = {name: _ends(law, name, before, after) for name in {**before, **after}}
    return [
        law.condition(
            {name: Likelihood((1 - t) * start + t * stop) for name, (start, stop) in weights.items()}
        )
        for t in shares
    ]


def with_labels(laws: Sequence[SiteDistribution], z: Tensor, *, seed: int, first: int) -> Tensor:
    """Site values (n, steps, K): labels of column j drawn from `p(y | z, law j)`, with one noise for each row."""
    columns = []
    for law, latents in zip(laws, z.unbind(1), strict=True):
        layout = SiteLayout(law.sites).to(z.device)
        unknown = torch.zeros(len(latents), len(layout.categorical), dtype=torch.long, device=z.device)
        values = layout.join(latents, unknown)
        known = layout.mask(latents, unknown.bool())
        columns.append(law.observe(values, known).sample((1,), seed=seed, first_row=first)[0])
    return torch.stack(columns, 1)


def _ends(law: SiteDistribution, name: str, before: Allowed, after: Allowed) -> tuple[Tensor, Tensor]:
    """For one attribute the weights of its labels at either end: the allowed ones, over how probable these are."""
    labels = next(site.labels for site in SiteLayout(law.sites).categorical if site.name == name)
    probs: Tensor = law.marginal(name).probs  # type: ignore[attr-defined]
    ends = []
    for allowed in (before, after):
        fits = torch.tensor([label in allowed.get(name, labels) for label in labels]).to(probs)
        ends.append(fits / (fits * probs).sum())
    return ends[0], ends[1]
