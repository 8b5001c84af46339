"""Points that represent a diagonal Gaussian: low-discrepancy, the same for every row of a batch."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Independent, Normal

from tnprior_models.errors import ModelError

__all__ = ["posterior_points"]

MARGIN = 1e-6
"""The quasi-random points may touch 0 or 1, whose normal quantiles are infinite."""


def posterior_points(posterior: Independent[Any], count: int, *, seed: int) -> Float[Tensor, "S B d"]:
    """`mu + sigma u_s` with `u_s` a scrambled Sobol sequence pushed through the normal quantile.

    Averages over these points converge faster than over random ones, and because all rows share the
    same `u_s`, the answer for an image does not depend on which other images are in its batch.

    Args:
        posterior: q(z|x), an `Independent(Normal)` of batch shape (B,), event shape (d,).
        count: S, number of points.
        seed: of the scrambling.

    Raises:
        ModelError: the posterior is not a diagonal Gaussian.

    Source: Owen 1998, scrambling Sobol points.

    >>> q = Independent(Normal(torch.zeros(3, 2), torch.ones(3, 2)), 1)
    >>> points = posterior_points(q, 64, seed=0)
    >>> points.shape, bool(points.mean().abs() < 0.05)
    (torch.Size([64, 3, 2]), True)
    """
    normal = posterior.base_dist
    if not isinstance(normal, Normal):
        raise ModelError(
            f"expected an Independent(Normal) from the encoder, received {type(normal).__name__}"
        )
    size = int(posterior.event_shape[-1])
    uniform = torch.quasirandom.SobolEngine(size, scramble=True, seed=seed).draw(count, dtype=torch.float64)
    standard = torch.special.ndtri(uniform.clamp(MARGIN, 1 - MARGIN)).to(normal.loc)
    points: Tensor = normal.loc + normal.scale * standard[:, None, :]
    return points
