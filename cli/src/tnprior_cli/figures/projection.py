"""A plane in which the classes of points lie apart: linear discriminants, fitted on other points than are shown."""

import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor

SHRINKAGE = 0.05  # towards a multiple of the identity, for directions in which few points hardly vary


def discriminant_plane(z: Tensor, codes: Tensor) -> Tensor:
    """Two directions (d, 2) that tell the classes apart best; multiply centred points z (n, d) by them.

    The first two linear discriminants (Fisher 1936): largest scatter between the classes for unit scatter within
    them, `codes` (n,). Two classes have one discriminant; the second direction is then the most variable one that is
    uncorrelated with it; of a single class both are such. With a single latent the second direction is zero.

    >>> z = torch.randn(200, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> codes = (z[:, 1] > 0).long()
    >>> int(discriminant_plane(z, codes)[:, 0].abs().argmax())
    1
    """
    found = _discriminants(z, codes)
    if z.shape[1] == 1:
        return torch.cat([found, torch.zeros_like(found)], dim=1)
    return (
        found[:, :2] if len(codes.unique()) > 2 else torch.stack([found[:, 0], _rest(z, found[:, 0])], dim=1)
    )


def _discriminants(z: Tensor, codes: Tensor) -> Tensor:
    """All of them (d, .), the most telling first; of a single class the most variable direction."""
    if len(codes.unique()) < 2:
        return _rest(z, torch.zeros_like(z[0]))[:, None]
    analysis = LinearDiscriminantAnalysis(solver="eigen", shrinkage=SHRINKAGE)
    analysis.fit(z.double().numpy(force=True), codes.numpy(force=True))
    return torch.as_tensor(analysis.scalings_).to(z.dtype)


def _scatter(z: Tensor) -> Tensor:
    return torch.cov(z.T).reshape(z.shape[1], z.shape[1])


def _rest(z: Tensor, direction: Tensor) -> Tensor:
    """The most variable direction that is uncorrelated with another one, of unit standard deviation."""
    centred = z - z.mean(dim=0)
    along = _scatter(z) @ direction
    along = along / along.norm().clamp(min=1e-12)
    values, vectors = torch.linalg.eigh(_scatter(centred - (centred @ along)[:, None] * along))
    found: Tensor = vectors[:, -1] / values[-1].clamp(min=1e-12).sqrt()
    return found
