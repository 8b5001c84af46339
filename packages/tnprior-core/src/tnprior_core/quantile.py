"""The distribution function of a mixture of normals as a normal score, and its inverse, to the last digits.

Both work in the half where the logarithm of the distribution function has its digits; the other half is its mirror
image.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tnprior_core.legs import log_total
from tnprior_core.normal import inverse_log_ndtr, log_interval, log_normal, truncated_draw
from tnprior_core.univariate import NormalMixture

__all__ = ["normal_score", "quantile"]

_ROUNDS = 200
_CLOSE = 4e-16


class _Below(NamedTuple):
    """Components (S or 1, N) in float64, for what lies below a value; `log_weight` has their own mass divided out."""

    log_weight: Tensor
    mean: Tensor
    sigma: Tensor
    low: Tensor
    high: Tensor

    def log_mass(self, value: Tensor) -> Tensor:
        """`log F(value)`, (S,)."""
        point = torch.minimum(torch.maximum(value.unsqueeze(1), self.low), self.high)
        return log_total(self.log_weight + log_interval(self.low, point, self.mean, self.sigma), 1)

    def log_density(self, value: Tensor) -> Tensor:
        """`log f(value)` inside the interval, (S,)."""
        return log_total(self.log_weight + log_normal(value.unsqueeze(1), self.mean, self.sigma.log()), 1)


def normal_score(law: NormalMixture, value: Float[Tensor, " S"]) -> Float[Tensor, " S"]:
    """Return `Phi^-1(F(value))` in float64; infinite outside the interval.

    law
        batch_shape (S,) or (1,), with widths above zero.

    >>> one = torch.ones(1, 1)
    >>> law = NormalMixture(one, one, 2 * one, -torch.inf * one[0], torch.inf * one[0])
    >>> normal_score(law, torch.tensor([1.0, 5.0, 81.0]))
    tensor([ 0.,  2., 40.], dtype=torch.float64)
    """
    value = value.double()
    below, above = _below(law).log_mass(value), _below(_mirror(law)).log_mass(-value)
    lower = below <= above
    level = torch.where(lower, below, above)
    score = inverse_log_ndtr(torch.where(level == -torch.inf, torch.zeros_like(level), level))
    score = torch.where(level == -torch.inf, level, score)
    return torch.where(lower, score, -score)


def quantile(law: NormalMixture, score: Float[Tensor, " S"]) -> Float[Tensor, " S"]:
    """Return z with `F(z) = Phi(score)` in float64.

    law
        batch_shape (S,) or (1,), with widths above zero.
    score
        (S,), finite.

    >>> one = torch.ones(1, 1)
    >>> law = NormalMixture(one, one, 2 * one, -torch.inf * one[0], torch.inf * one[0])
    >>> quantile(law, torch.tensor([0.0, 2.0, 40.0]))
    tensor([ 1.,  5., 81.], dtype=torch.float64)
    """
    score = score.double()
    upper = score > 0
    sides = zip(_below(_mirror(law)), _below(law), strict=True)
    below = _Below(*(torch.where(upper.unsqueeze(1), mirrored, plain) for mirrored, plain in sides))
    found = _solve(below, -score.abs())
    return torch.where(upper, -found, found)


def _below(law: NormalMixture) -> _Below:
    weights, mean, sigma, low, high = (
        x.double() for x in (law.weights, law.component_mean, law.component_sigma, law.low, law.high)
    )
    size = log_interval(low, high, mean, sigma)
    log_weight = torch.where((weights > 0) & (size > -torch.inf), weights.log() - size, -torch.inf)
    return _Below(log_weight, mean, sigma, low, high)


def _mirror(law: NormalMixture) -> NormalMixture:
    """The distribution of the negative."""
    return NormalMixture(
        law.weights, -law.component_mean, law.component_sigma, -law.high[..., 0], -law.low[..., 0]
    )


def _solve(below: _Below, score: Tensor) -> Tensor:
    """Newton on `log F(z) = log Phi(score)` within a bracket that every round shrinks; each third round halves it."""
    target = torch.special.log_ndtr(score)
    low, high = _bracket(below, score, target)
    z = (low + high) / 2
    settled = torch.zeros_like(z, dtype=torch.bool)
    for turn in range(_ROUNDS):
        log_mass = below.log_mass(z)
        gap = log_mass - target
        low, high = torch.where(gap > 0, low, z), torch.where(gap > 0, z, high)
        newton = z - gap * torch.exp(log_mass - below.log_density(z))
        inside = (newton >= low) & (newton <= high)
        following = torch.where(inside & (turn % 3 < 2), newton, (low + high) / 2)
        following = torch.where(settled, z, following)
        settled |= (following - z).abs() <= _CLOSE * z.abs().clamp_min(1e-6)
        z = following
        if bool(settled.all()):
            break
    return z


def _bracket(below: _Below, score: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Ends (S,) with `log F(low) <= target <= log F(high)`: the least and the largest quantile of a component."""
    whole = torch.isinf(below.low) & torch.isinf(below.high)
    wanted = score.unsqueeze(1)
    cut = truncated_draw(wanted, below.low, below.high, below.mean, below.sigma)
    own = torch.where(whole, below.mean + below.sigma * wanted, cut)
    possible = below.log_weight > -torch.inf
    low = torch.where(possible, own, torch.inf).amin(1)
    high = torch.where(possible, own, -torch.inf).amax(1)
    # Quantiles of components are rounded, those in the far tail of an interval by more: step out until they enclose.
    width = torch.where(possible, below.sigma, 0.0).amax(1) * 1e-9
    for _ in range(_ROUNDS):
        short, over = below.log_mass(low) > target, below.log_mass(high) < target
        if not bool((short | over).any()):
            break
        low = torch.where(short, torch.maximum(low - width, below.low[:, 0]), low)
        high = torch.where(over, torch.minimum(high + width, below.high[:, 0]), high)
        width = 2 * width
    return low, high
