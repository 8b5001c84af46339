"""Fréchet (2-Wasserstein) distance between Gaussians, never NaN and never complex."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from tnprior_eval.errors import ShapeError
from tnprior_eval.estimate import Estimate, normal_interval
from tnprior_eval.jackknife import jackknife_bias, jackknife_variance
from tnprior_eval.moments import GroupedMoments, Moments
from tnprior_eval.protocol import Protocol
from tnprior_eval.result import Row


@dataclass(frozen=True)
class JackknifeDistance:
    """A distance between samples of two distributions.

    Args:
        distance: the plug-in value; `n` is the smaller of the two sample sizes, the error is by the
            jackknife.
        bias_corrected: the same with the 1/n bias of finite samples removed; may be slightly below zero;
            `None` without jackknife groups.
    """

    distance: Estimate
    bias_corrected: float | None

    def rows(self, label: str, protocol: Protocol) -> tuple[Row, ...]:
        """The distance, then (with jackknife groups) the one without the bias of finite samples."""
        first = Row(label, self.distance, protocol)
        if self.bias_corrected is None:
            return (first,)
        unbiased = Estimate(self.bias_corrected, self.distance.n, self.distance.standard_error)
        return (first, Row(f"{label}/bias-corrected", unbiased, protocol))


def frechet_distance(first: Moments, second: Moments) -> float:
    r"""$\|\mu_1-\mu_2\|^2 + \mathrm{tr}(\Sigma_1 + \Sigma_2 - 2(\Sigma_1\Sigma_2)^{1/2})$ (Heusel et al.
    2017, eq. 6).

    The trace of the root is the nuclear norm of $A_1^\top A_2$ with $\Sigma_i = A_i A_i^\top$ from symmetric
    eigen-decompositions, in float64: real and finite for covariances of any rank, also from fewer samples
    than features. Squared units of the features.

    Raises:
        ShapeError: when dimensions differ or a set has fewer than two samples.

    >>> x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    >>> round(frechet_distance(Moments.of(x), Moments.of(x + 2)), 4)
    12.0
    """
    if first.dimension != second.dimension:
        raise ShapeError(
            f"expected features of one dimension, received {first.dimension} and {second.dimension}"
        )
    a, b = _factor(first.covariance), _factor(second.covariance)
    cross = float(torch.linalg.svdvals(a.T @ b).sum()) if a.numel() and b.numel() else 0.0
    shift = float((first.mean - second.mean).square().sum())
    return max(0.0, shift + float(a.square().sum()) + float(b.square().sum()) - 2 * cross)


def _factor(covariance: Float64[Tensor, "d d"]) -> Float64[Tensor, "d rank"]:
    """A (d, rank) with covariance = A A^T; eigenvalues that are rounding noise are left out."""
    values, vectors = torch.linalg.eigh((covariance + covariance.T) / 2)
    top = values.max().clamp(min=0.0)
    kept = values > top * len(values) * torch.finfo(values.dtype).eps
    factor: Tensor = vectors[:, kept] * values[kept].sqrt()
    return factor


def jackknife_distance(
    first: GroupedMoments, second: GroupedMoments, *, level: float, unit: str = ""
) -> JackknifeDistance:
    """Distance of two streams of features with delete-a-group jackknife error and bias.

    Each stream's groups are left out in turn while the other stream stays whole; variances and biases add up.
    """
    a, b = first.total(), second.total()
    value = frechet_distance(a, b)
    left = [frechet_distance(part, b) for part in first.leave_one_out()]
    right = [frechet_distance(a, part) for part in second.leave_one_out()]
    n = min(a.n, b.n)
    if not left or not right:
        return JackknifeDistance(Estimate(value, n, unit=unit), None)
    error = math.sqrt(jackknife_variance(left) + jackknife_variance(right))
    interval = normal_interval(value, error, level=level, low=0.0)
    corrected = value - jackknife_bias(value, left) - jackknife_bias(value, right)
    return JackknifeDistance(Estimate(value, n, error, interval, unit), corrected)
