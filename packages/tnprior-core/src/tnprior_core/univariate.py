"""The marginal of one continuous site: a one-dimensional mixture of (truncated) normals."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, constraints

from tnprior_core.legs import log_total
from tnprior_core.normal import log_interval, log_normal, truncated_draw
from tnprior_core.sampling import pick

__all__ = ["NormalMixture"]

_HALF_LOG_TWO_PI = 0.9189385332046727


class NormalMixture(Distribution):
    """Mixture of normals restricted to an interval, `p(z) = sum_s w_s N(z; mu_s, sigma_s^2) 1[low <= z <= high] / Z_s`.

    weights, mean_of_component, sigma_of_component
        (..., N); the weights sum to one; a sigma of zero is a value known exactly (infinite density there).
    low, high
        (...,), infinite for no interval.

    >>> one = torch.ones(2)
    >>> m = NormalMixture(one / 2, torch.tensor([-1.0, 1.0]), one, -torch.inf * one[0], torch.inf * one[0])
    >>> m.mean, m.variance
    (tensor(0.), tensor(2.))
    """

    arg_constraints = {}  # noqa: RUF012

    def __init__(
        self,
        weights: Float[Tensor, "*#batch #N"],
        mean_of_component: Float[Tensor, "*#batch #N"],
        sigma_of_component: Float[Tensor, "*#batch #N"],
        low: Float[Tensor, "*#batch"],
        high: Float[Tensor, "*#batch"],
    ) -> None:
        """Keep the parameters, broadcast against each other."""
        tables = torch.broadcast_tensors(weights, mean_of_component, sigma_of_component)
        self.weights: Tensor = tables[0]
        self.component_mean: Tensor = tables[1]
        self.component_sigma: Tensor = tables[2]
        self.low, self.high = (x.unsqueeze(-1).expand(self.weights.shape) for x in (low, high))
        super().__init__(self.weights.shape[:-1], validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """The interval."""
        return constraints.interval(self.low[..., 0], self.high[..., 0])

    def log_prob(self, value: Float[Tensor, "*values"]) -> Float[Tensor, "*rows"]:
        """Log-density in nats, broadcast over the batch."""
        point = value.unsqueeze(-1)
        exact, sigma = self._widths()
        size = log_interval(self.low, self.high, self.component_mean, sigma)
        logs = log_normal(point, self.component_mean, sigma.log()) - size
        logs = torch.where(exact & (point == self.component_mean), torch.inf, logs)
        inside = (point >= self.low) & (point <= self.high) & ~(exact & (point != self.component_mean))
        possible = inside & (self.weights > 0)
        return log_total(torch.where(possible, self.weights.log() + logs, -torch.inf), -1)

    def cdf(self, value: Float[Tensor, "*values"]) -> Float[Tensor, "*rows"]:
        """Distribution function `P(z <= value)`."""
        point = torch.minimum(torch.maximum(value.unsqueeze(-1), self.low), self.high)
        exact, sigma = self._widths()
        size = log_interval(self.low, self.high, self.component_mean, sigma)
        below = torch.exp(log_interval(self.low, point, self.component_mean, sigma) - size)
        below = torch.where(exact, (point >= self.component_mean).to(below), below)
        return torch.where(self.weights > 0, self.weights * below, 0.0).sum(-1)

    @property
    def mean(self) -> Float[Tensor, "*batch"]:
        """Exact mean."""
        return (self.weights * self._moments()[0]).sum(-1)

    @property
    def variance(self) -> Float[Tensor, "*batch"]:
        """Exact variance."""
        mean, variance = self._moments()
        centre = (self.weights * mean).sum(-1, keepdim=True)
        return (self.weights * (variance + (mean - centre).square())).sum(-1)

    def sample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Float[Tensor, "*drawn"]:
        """Draw (*sample_shape, ...) values with torch's global generator."""
        shape = torch.Size([*sample_shape, *self.batch_shape])
        with torch.no_grad():
            flat = [x.expand(*shape, x.shape[-1]).reshape(-1, x.shape[-1]) for x in self._tables()]
            uniform = torch.rand(flat[0].shape[0], dtype=flat[0].dtype, device=flat[0].device)
            component = pick(flat[0], uniform).unsqueeze(1)
            mean, sigma, low, high = (x.gather(1, component).squeeze(1) for x in flat[1:])
            return truncated_draw(torch.randn_like(mean), low, high, mean, sigma).view(shape)

    def __repr__(self) -> str:
        """Name the sizes."""
        return f"NormalMixture(components={self.weights.shape[-1]}, batch_shape={tuple(self.batch_shape)})"

    def _tables(self) -> tuple[Tensor, ...]:
        return self.weights, self.component_mean, self.component_sigma, self.low, self.high

    def _widths(self) -> tuple[Tensor, Tensor]:
        """Where the width is zero, and widths that are not."""
        exact = self.component_sigma == 0
        return exact, torch.where(exact, torch.ones_like(self.component_sigma), self.component_sigma)

    def _moments(self) -> tuple[Tensor, Tensor]:
        return truncated_moments(self.component_mean, self.component_sigma, self.low, self.high)


def truncated_moments(mean: Tensor, sigma: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of `N(mean, sigma^2)` restricted to `[low, high]` (infinite ends allowed).

    With a = (low - mean) / sigma and b = (high - mean) / sigma, densities relative to the mass inside give
    E = mean + sigma (phi(a) - phi(b)) / P and V = sigma^2 (1 + (a phi(a) - b phi(b)) / P - ((phi(a) - phi(b)) / P)^2).

    >>> inf = torch.tensor(torch.inf)
    >>> truncated_moments(torch.zeros(()), torch.ones(()), -inf, inf)
    (tensor(0.), tensor(1.))
    """
    dtype = mean.dtype
    # Far from the mean the terms of the variance cancel to a few digits: float64 has enough of them.
    mean, sigma, low, high = (x.double() for x in (mean, sigma, low, high))
    size = log_interval(low, high, mean, sigma)
    start, left = _edge(low, mean, sigma, size)
    stop, right = _edge(high, mean, sigma, size)
    shift = left - right
    variance = 1 + start * left - stop * right - shift.square()
    return (mean + sigma * shift).to(dtype), (sigma.square() * variance.clamp_min(0)).to(dtype)


def _edge(end: Tensor, mean: Tensor, sigma: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    finite = torch.isfinite(end)
    standard = torch.where(finite, (end - mean) / sigma, torch.zeros_like(mean))
    relative = torch.exp(-0.5 * standard.square() - _HALF_LOG_TWO_PI - size)
    return standard, torch.where(finite, relative, torch.zeros_like(relative))
