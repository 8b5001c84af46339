"""One-dimensional normal densities: products, intervals and draws that stay finite in the tails."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["inverse_log_ndtr", "log_interval", "log_normal", "standardised", "truncated_draw"]

_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)
# Beyond this many standard deviations an end of an interval is as good as infinite in float64.
_FAR = 1e8


def log_normal(value: Tensor, mean: Tensor, log_sigma: Tensor) -> Tensor:
    """Return `log N(value; mean, exp(log_sigma)^2)` in nats, broadcast.

    >>> log_normal(torch.zeros(1), torch.zeros(1), torch.zeros(1))
    tensor([-0.9189])
    """
    standard = (value - mean) * torch.exp(-log_sigma)
    return -0.5 * standard.square() - log_sigma - _HALF_LOG_TWO_PI


def log_interval(low: Tensor, high: Tensor, mean: Tensor, sigma: Tensor) -> Tensor:
    """Return `log(Phi((high - mean) / sigma) - Phi((low - mean) / sigma))`, accurate in both tails.

    An interval in the right tail is mirrored to the left one, where the logarithm of the distribution
    function keeps its digits. An empty interval gives minus infinity.

    >>> one = torch.ones(1)
    >>> log_interval(50 * one, torch.inf * one, 0 * one, one)
    tensor([-1254.8314])
    """
    dtype = mean.dtype
    # The difference of two logarithms near -1000 has no digits left in float32.
    low, high, mean, sigma = (x.double() for x in (low, high, mean, sigma))
    start, stop, _ = _mirrored(standardised(low, mean, sigma), standardised(high, mean, sigma))
    upper = torch.special.log_ndtr(stop)
    gap = torch.special.log_ndtr(start) - upper
    empty = gap >= 0
    safe = torch.where(empty, torch.full_like(gap, -1.0), gap)
    inside = upper + torch.log(-torch.expm1(safe))
    return torch.where(empty, torch.full_like(gap, -math.inf), inside).to(dtype)


def standardised(end: Tensor, mean: Tensor, sigma: Tensor) -> Tensor:
    """Return `(end - mean) / sigma`, with infinite ends far away but finite, so that no gradient is 0 times infinity.

    >>> standardised(torch.tensor([1.0, torch.inf]), torch.zeros(1), torch.ones(1))
    tensor([1.0000e+00, 1.0000e+08])
    """
    finite = torch.isfinite(end)
    near = (torch.where(finite, end, torch.zeros_like(end)) - mean) / sigma
    return torch.where(finite, near.clamp(-_FAR, _FAR), torch.sign(end) * _FAR)


def truncated_draw(standard: Tensor, low: Tensor, high: Tensor, mean: Tensor, sigma: Tensor) -> Tensor:
    """Turn standard normal noise into draws of a normal restricted to `[low, high]` (inverse transform).

    Solves `log Phi(x) = log(Phi(a) + u (Phi(b) - Phi(a)))`, `u = Phi(noise)`, by Newton steps on the
    logarithm, so that an interval fifty standard deviations away is drawn from as well as any other.

    >>> z = torch.zeros(1)
    >>> 3 <= truncated_draw(z, z + 3, z + 4, z, z + 1).item() <= 4
    True
    """
    dtype = standard.dtype
    standard, low, high, mean, sigma = (x.double() for x in (standard, low, high, mean, sigma))
    start, stop, mirrored = _mirrored(standardised(low, mean, sigma), standardised(high, mean, sigma))
    level = torch.where(mirrored, -standard, standard)
    log_start, log_stop = torch.special.log_ndtr(start), torch.special.log_ndtr(stop)
    log_u, log_rest = torch.special.log_ndtr(level), torch.special.log_ndtr(-level)
    target = torch.logaddexp(log_rest + log_start, log_u + log_stop)
    point = inverse_log_ndtr(target)
    point = torch.minimum(torch.maximum(point, start), stop)
    value = mean + sigma * torch.where(mirrored, -point, point)
    return torch.minimum(torch.maximum(value, low), high).to(dtype)


def inverse_log_ndtr(target: Tensor) -> Tensor:
    """Return x with `log Phi(x) = target`, in float64; best in the lower half, where the logarithm has its digits.

    >>> inverse_log_ndtr(torch.special.log_ndtr(torch.tensor([-50.0, -1.0, 0.5]).double()))
    tensor([-50.0000,  -1.0000,   0.5000], dtype=torch.float64)
    """
    # A closed start in either regime, then Newton on a concave function.
    central = torch.special.ndtri(target.exp().clamp(1e-12, 1 - 1e-16))
    tail = -torch.sqrt((-2 * target - 2 * _HALF_LOG_TWO_PI).clamp_min(0))
    tail = -torch.sqrt((-2 * target - 2 * _HALF_LOG_TWO_PI - 2 * torch.log(-tail + 1)).clamp_min(0))
    point = torch.where(target > -20, central, tail)
    for _ in range(6):
        log_cdf = torch.special.log_ndtr(point)
        slope = torch.exp(-0.5 * point.square() - _HALF_LOG_TWO_PI - log_cdf)
        # Far to the right the distribution function is flat and the start is already exact.
        point = torch.where(point < 5, point - (log_cdf - target) / slope.clamp_min(1e-6), point)
    return point


def _mirrored(start: Tensor, stop: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    mirrored = start > 0
    return torch.where(mirrored, -stop, start), torch.where(mirrored, -start, stop), mirrored
