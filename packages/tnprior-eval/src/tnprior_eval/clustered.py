"""Mean over the (sample, attribute) pairs that count, when pairs of one sample depend on each other."""

import math

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from tnprior_eval.estimate import Estimate, normal_interval


def clustered_mean(
    values: Float64[Tensor, "n A"],
    used: Bool[Tensor, "n A"],
    *,
    level: float,
    low: float = -math.inf,
    high: float = math.inf,
    unit: str = "",
) -> Estimate:
    r"""Mean of `values` where `used`, with the standard error of independent *samples* (rows), not pairs.

    $\hat\mu = \sum_{ia} v_{ia} / M$, error
    $\sqrt{\frac{n}{n-1} \sum_i (\sum_a v_{ia} - \hat\mu m_i)^2} / M$ with
    $m_i$ used pairs in row i and M in all (ratio estimator; Cochran, Sampling Techniques, 6.4). Sums are
    exactly rounded: the order of the rows does not change a bit.

    Args:
        values: float64 (n, A); anything where not used, NaN too.
        used: bool (n, A).

    >>> clustered_mean(torch.tensor([[1.0, 3.0]]).double(), torch.tensor([[True, True]]), level=0.95).value
    2.0
    """
    rows = used.any(dim=1)
    sums = torch.where(used, values, 0.0).sum(dim=1)[rows]
    sizes = used.sum(dim=1)[rows]
    total, n = int(sizes.sum()), len(sums)
    if total == 0:
        return Estimate(math.nan, 0, unit=unit)
    mean = math.fsum(sums.tolist()) / total
    if n < 2 or not math.isfinite(mean):
        return Estimate(mean, total, unit=unit)
    residual = sums - mean * sizes
    error = math.sqrt(math.fsum((residual**2).tolist()) * n / (n - 1)) / total
    return Estimate(mean, total, error, normal_interval(mean, error, level=level, low=low, high=high), unit)
