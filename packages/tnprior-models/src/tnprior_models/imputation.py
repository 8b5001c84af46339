"""Missing attributes of encoded objects: averaged probabilities and joint draws."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tnprior_models.joint_density import log_joint_and_latent
from tnprior_models.layout import SiteLayout

__all__ = ["attribute_probabilities", "draw_attributes", "pick_points"]

GOLDEN = 0.6180339887498949


def attribute_probabilities(
    prior: Any,
    layout: SiteLayout,
    z: Float[Tensor, "S B d"],
    codes: Int[Tensor, "B A"],
    observed: Bool[Tensor, "B A"],
) -> list[Float[Tensor, "B C"]]:
    """`p(y_k | x, y_ob) ~ sum_s w_s p(y_k | z_s, y_ob)` with `w_s` proportional to `p(y_ob | z_s)`.

    The points `z_s` represent q(z|x), which has not seen the attributes; the weights are Bayes' rule for
    those that are known. All posteriors of all attributes come from one backward pass.

    Args:
        prior: the distribution that a prior returned.
        layout: where latents and attributes stand among its sites.
        z: S points of q(z|x) for each row.
        codes, observed: the known attributes; codes at unobserved entries are ignored.

    Returns:
        One (B, C_a) table per attribute; an observed attribute has probability one on its code.
    """
    marginals = _given(
        prior, layout, z.flatten(0, 1), codes.repeat(z.shape[0], 1), observed.repeat(z.shape[0], 1)
    ).marginals([site.name for site in layout.categorical])
    weights = evidence_weights(prior, layout, z, codes, observed)[..., None]
    tables = [marginals[site.name].probs.unflatten(0, z.shape[:2]) for site in layout.categorical]
    return [(weights * table).sum(dim=0) for table in tables]


def draw_attributes(
    prior: Any,
    layout: SiteLayout,
    z: Float[Tensor, "S B d"],
    codes: Int[Tensor, "B A"],
    observed: Bool[Tensor, "B A"],
    *,
    draws: int,
    seed: int,
    first_row: int = 0,
) -> Int[Tensor, "draws B A"]:
    """Joint draws of the missing attributes: one point `z_s` by its weight, then `y ~ p(y | z_s, y_ob)`.

    Arguments as in `attribute_probabilities`; observed attributes keep their code in every draw. Draw m
    of row b depends on (seed, m, first_row + b) alone.
    """
    weights = evidence_weights(prior, layout, z, codes, observed)
    picked = pick_points(z, weights, draws, seed=seed, first_row=first_row)
    chosen = []
    for draw in range(draws):
        posterior = _given(prior, layout, picked[draw], codes, observed)
        chosen.append(posterior.sample((1,), seed=seed, first=draw, first_row=first_row)[0])
    return layout.codes_of(torch.stack(chosen)) if chosen else codes.new_empty(0, *codes.shape)


def pick_points(
    z: Float[Tensor, "S B d"], weights: Float[Tensor, "S B"], draws: int, *, seed: int, first_row: int = 0
) -> Float[Tensor, "draws B d"]:
    """One of the S points of every row for every draw, by their weights, which sum to one over the points.

    >>> pick_points(torch.ones(4, 2, 3), torch.full((4, 2), 0.25), 5, seed=0).shape
    torch.Size([5, 2, 3])
    """
    cumulative = weights.cumsum(dim=0).T.contiguous()
    uniform = rotated_uniform(draws, z.shape[1], seed=seed, first_row=first_row).to(z)
    picks = torch.searchsorted(cumulative, uniform.T.contiguous()).clamp_max(z.shape[0] - 1).T
    return z.gather(0, picks[..., None].expand(-1, -1, z.shape[-1]))


def rotated_uniform(draws: int, rows: int, *, seed: int, first_row: int) -> Float[Tensor, "draws rows"]:
    """Uniform numbers that depend on (seed, draw, row) alone: one per draw, rotated by the golden ratio.

    Source: Cranley and Patterson 1976, rotation of quadrature points.

    >>> whole = rotated_uniform(2, 5, seed=0, first_row=0)
    >>> bool((whole[:, 3:] == rotated_uniform(2, 2, seed=0, first_row=3)).all())
    True
    """
    start = torch.rand(
        draws, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64, device="cpu"
    )
    return (start + GOLDEN * torch.arange(first_row, first_row + rows, dtype=torch.float64, device="cpu")) % 1


def evidence_weights(
    prior: Any,
    layout: SiteLayout,
    z: Float[Tensor, "S B d"],
    codes: Int[Tensor, "B A"],
    observed: Bool[Tensor, "B A"],
) -> Float[Tensor, "S B"]:
    """Self-normalised weights `p(y_ob | z_s) / sum_t p(y_ob | z_t)`; uniform where nothing is observed."""
    if not bool(observed.any()):
        return torch.full(z.shape[:-1], 1 / z.shape[0], dtype=z.dtype, device=z.device)
    joint, latent = log_joint_and_latent(prior, layout, z, codes, observed)
    return (joint - latent).softmax(dim=0)


def _given(prior: Any, layout: SiteLayout, z: Tensor, codes: Tensor, observed: Tensor) -> Any:
    """The prior given latents (B, d) and the known attributes."""
    return prior.observe(layout.join(z, codes), observed=layout.mask(z, observed))
