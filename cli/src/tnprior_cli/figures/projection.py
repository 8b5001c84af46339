"""A plane in which the classes of points lie apart: linear discriminants, fitted on other points than are shown."""

import torch
from torch import Tensor

SHRINK = 0.05  # of the average variance, added to every direction within the classes


def discriminant_plane(z: Tensor, codes: Tensor) -> Tensor:
    """Two directions (d, 2) that tell the classes apart best; multiply centred points z (n, d) by them.

    The first two linear discriminants (Fisher 1936): largest scatter between the classes for unit scatter within
    them, `codes` (n,). Two classes have one discriminant; the second direction is then the most variable one that is
    uncorrelated with it. With a single latent the second direction is zero.

    >>> z = torch.randn(200, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> codes = (z[:, 1] > 0).long()
    >>> int(discriminant_plane(z, codes)[:, 0].abs().argmax())
    1
    """
    size = z.shape[1]
    classes = codes.unique()
    means = torch.stack([z[codes == c].mean(dim=0) for c in classes])
    shares = torch.stack([(codes == c).double().mean() for c in classes])
    within = torch.stack([_scatter(z[codes == c]) for c in classes]).mul(shares[:, None, None]).sum(dim=0)
    floor = SHRINK * within.trace().clamp(min=1e-12) / size
    values, vectors = torch.linalg.eigh(within + floor * torch.eye(size, dtype=z.dtype))
    whiten = vectors * values.rsqrt()
    centred = (means - shares @ means) @ whiten
    _, between = torch.linalg.eigh(centred.T @ (shares[:, None] * centred))
    found = whiten @ between.flip(1)
    if size == 1:
        return torch.cat([found, torch.zeros_like(found)], dim=1)
    return found[:, :2] if len(classes) > 2 else torch.stack([found[:, 0], _rest(z, found[:, 0])], dim=1)


def _scatter(z: Tensor) -> Tensor:
    centred = z - z.mean(dim=0)
    return centred.T @ centred / max(1, len(z) - 1)


def _rest(z: Tensor, direction: Tensor) -> Tensor:
    """The most variable direction that is uncorrelated with another one, of unit standard deviation."""
    centred = z - z.mean(dim=0)
    along = _scatter(z) @ direction
    along = along / along.norm().clamp(min=1e-12)
    values, vectors = torch.linalg.eigh(_scatter(centred - (centred @ along)[:, None] * along))
    found: Tensor = vectors[:, -1] / values[-1].clamp(min=1e-12).sqrt()
    return found
