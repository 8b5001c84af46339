"""Axes for codes that were learned without attributes: those that tell labels apart, then the principal ones."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tnprior_core.errors import ShapeError, SiteError
from tnprior_core.initialize.clusters import initialize_from_clusters
from tnprior_core.initialize.columns import check_attributes, check_latents
from tnprior_core.linear_map import LinearMap
from tnprior_core.priors.base import Prior
from tnprior_core.priors.components import ComponentsPrior
from tnprior_core.priors.flow import FlowPrior
from tnprior_core.priors.network import NetworkPrior

__all__ = ["Axes", "attribute_axes", "initialize_from_axes"]

_NEW = 0.2
"""Sine of the angle at which an axis must leave the span of those before it, or the map is close to singular."""


class Axes(NamedTuple):
    """Rows of an invertible matrix (d, d), of length one, and the attribute that each tells apart, or None."""

    matrix: Float[Tensor, "d d"]
    attribute: tuple[int | None, ...]


@torch.no_grad()
def attribute_axes(z: Float[Tensor, "n d"], codes: Int[Tensor, "_ _"], observed: Bool[Tensor, "_ _"]) -> Axes:
    """Find the directions in which labels differ, and the principal axes of what is orthogonal to all of them.

    For each attribute the leading `C - 1` solutions w of `S_b w = lambda S_w w`, C being the number of its labels that
    were seen at least twice, `S_b` and `S_w` the covariances between and within labels, the latter shrunk to the
    identity (Ledoit and Wolf 2004). A direction almost within the span of those before it is left out; there are d at
    most.

    Raises ShapeError if the tables have unequal numbers of rows or attributes.
    Source: Fisher 1936; Rao 1948 for several labels.

    >>> z = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
    >>> codes = (z.sum(1, keepdim=True) > 0).long()
    >>> found = attribute_axes(z, codes, codes >= 0)
    >>> found.attribute, bool((found.matrix[0].sum().abs() - 2**0.5).abs() < 0.01)
    ((0, None), True)
    """
    if len(codes) != len(z) or codes.shape != observed.shape:
        raise ShapeError(
            f"expected codes and observed with {len(z)} rows and equal columns, received {tuple(codes.shape)} and "
            f"{tuple(observed.shape)}"
        )
    z = z.detach().double()
    size = z.shape[1]
    rows: list[Tensor] = []
    attribute: list[int | None] = []
    basis = z.new_zeros(0, size)
    for a in range(codes.shape[1]):
        for direction in _discriminants(z[observed[:, a]], codes[observed[:, a], a]):
            beyond = direction - basis.mT @ (basis @ direction)
            if len(rows) < size and beyond.norm() > _NEW:
                basis = torch.cat([basis, (beyond / beyond.norm()).unsqueeze(0)])
                rows.append(direction)
                attribute.append(a)
    rest = _principal(z, basis)
    return Axes(torch.cat([*(row.unsqueeze(0) for row in rows), rest]), (*attribute, *[None] * len(rest)))


@torch.no_grad()
def initialize_from_axes(
    prior: Prior,
    z: Float[Tensor, "n d"],
    codes: Int[Tensor, "n A"],
    observed: Bool[Tensor, "n A"],
    *,
    seed: int = 0,
) -> None:
    """Turn the latents by `attribute_axes` and start the base from clusters of what they are then.

    Each axis goes to the free latent that is closest to its attribute along the chain, so that no bond has to carry far
    what it says.

    prior
        a train, ring, factor ring or mixture behind a `LinearMap`.
    z
        (n, d) latent codes, samples of q(z | x) rather than means.
    codes, observed
        (n, A) integer codes and boolean mask.
    seed
        of the clusters.

    Raises SiteError for another prior, ShapeError if columns do not match or a code is no label.

    >>> from tnprior_core import Categorical, Gaussian, TensorTrainPrior
    >>> base = TensorTrainPrior([Gaussian("z0", 4), Gaussian("z1", 4), Categorical("sign")], rank=4)
    >>> prior = FlowPrior(base, LinearMap(2))
    >>> z = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    >>> codes = (z.sum(1, keepdim=True) > 0).long()
    >>> initialize_from_axes(prior, z, codes, codes >= 0)
    >>> q = prior().observe(torch.tensor([[1.0, -0.5, 0.0]]), torch.tensor([[True, True, False]]))
    >>> bool(q.marginal("sign").probs[0, 1] > 0.7)
    True
    """
    if not isinstance(prior, FlowPrior) or not isinstance(prior.flow, LinearMap):
        raise SiteError(f"expected a FlowPrior behind a LinearMap, received {prior!r}")
    if not isinstance(prior.base, NetworkPrior | ComponentsPrior):
        raise SiteError(
            f"expected a train, ring, factor ring or mixture behind the map, received {prior.base!r}"
        )
    check_latents(prior.sites, z)
    check_attributes(prior.sites, z, codes, observed)
    axes = attribute_axes(z, codes.to(z.device), observed.to(z.device))
    order = prior.base.order if isinstance(prior.base, NetworkPrior) else range(len(prior.sites))
    prior.flow.assign(axes.matrix[_rows_by_latent(prior, order, axes.attribute)])
    initialize_from_clusters(prior.base, prior.flow(z).value, codes, observed, seed=seed)


def _discriminants(z: Tensor, labels: Tensor) -> Tensor:
    """Directions (C - 1, d) of length one, the best first; none where a single label has a covariance."""
    _, place, counts = labels.unique(return_inverse=True, return_counts=True)
    spread = counts[place] > 1
    z, labels = z[spread], labels[spread]
    seen = int((counts > 1).sum())
    if seen < 2:
        return z.new_zeros(0, z.shape[1])
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    analysis = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of shares of variance that are not used here
        analysis.fit(z.cpu().numpy(), labels.cpu().numpy())
    found = torch.as_tensor(analysis.scalings_[:, : seen - 1]).to(z)
    return torch.nn.functional.normalize(found, dim=0).mT


def _principal(z: Tensor, basis: Tensor) -> Tensor:
    """Orthonormal rows that complete an orthonormal basis (k, d), by the variance of the codes along them."""
    rest = torch.linalg.qr(basis.mT, mode="complete").Q[:, len(basis) :]
    inside = (z - z.mean(0)) @ rest
    turn = torch.linalg.eigh(inside.mT @ inside).eigenvectors.flip(1)
    axes: Tensor = turn.mT @ rest.mT
    return axes


def _rows_by_latent(prior: FlowPrior, order: Sequence[int], attribute: Sequence[int | None]) -> list[int]:
    """Which axis each latent gets."""
    place = {site: at for at, site in enumerate(order)}
    free = {latent: place[latent] for latent in prior.latents}
    row: dict[int, int] = {}
    for axis, label in enumerate(attribute):
        if label is None:
            latent = next(iter(free))
        else:
            home = place[prior.attributes[label]]
            latent = min(free, key=lambda site: abs(free[site] - home))
        del free[latent]
        row[latent] = axis
    return [row[latent] for latent in prior.latents]
