"""A number with its uncertainty: Wilson intervals for proportions, normal ones for means."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from tnprior_eval.errors import EvalError


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval `[low, high]` with coverage `level`, and the method behind it."""

    low: float
    high: float
    level: float
    method: str


@dataclass(frozen=True)
class Estimate:
    """A measured value, the number `n` of things it averages, and how far it may be off.

    `standard_error` and `interval` are `None` where the metric has no honest one; `unit` is empty for pure
    numbers.
    """

    value: float
    n: int
    standard_error: float | None = None
    interval: Interval | None = None
    unit: str = ""


def normal_quantile(level: float) -> float:
    """Half-width, in standard errors, of the two-sided normal interval with coverage `level` in (0, 1).

    >>> round(normal_quantile(0.95), 4)
    1.96
    """
    if not 0.0 < level < 1.0:
        raise EvalError(f"expected a confidence level between 0 and 1, received {level}")
    return NormalDist().inv_cdf(0.5 + level / 2)


def wilson_interval(share: float, n: float, *, level: float = 0.95, method: str = "wilson") -> Interval:
    r"""Wilson score interval of a proportion `share` seen in `n` trials; the whole of [0, 1] without trials.

    $\frac{p + z^2/2n \pm z\sqrt{p(1-p)/n + z^2/4n^2}}{1 + z^2/n}$ (Wilson 1927). `n` may be an effective,
    not a whole number of trials.

    >>> interval = wilson_interval(1.0, 10)
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.722, 1.0)
    """
    z = normal_quantile(level)
    if n <= 0:
        return Interval(0.0, 1.0, level, method)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if share == 0.0 else max(0.0, centre - half)
    high = 1.0 if share == 1.0 else min(1.0, centre + half)
    return Interval(low, high, level, method)


def proportion(hits: int, n: int, *, level: float = 0.95) -> Estimate:
    """Share `hits / n` of independent trials with its Wilson interval; NaN when `n` is 0.

    >>> proportion(3, 4).value
    0.75
    """
    if not 0 <= hits <= n:
        raise EvalError(f"expected between 0 and n={n} hits, received {hits}")
    if n == 0:
        return Estimate(math.nan, 0, None, wilson_interval(0.0, 0, level=level))
    share = hits / n
    error = math.sqrt(share * (1 - share) / n)
    return Estimate(share, n, error, wilson_interval(share, n, level=level))


def normal_interval(
    value: float, error: float | None, *, level: float = 0.95, low: float = -math.inf, high: float = math.inf
) -> Interval | None:
    """`value ± z * error`, cut to the range `[low, high]` of the quantity; `None` without a standard
    error.
    """
    if error is None or not math.isfinite(value):
        return None
    half = normal_quantile(level) * error
    return Interval(max(low, value - half), min(high, value + half), level, "normal")


def mean_estimate(
    values: Sequence[float],
    *,
    level: float = 0.95,
    low: float = -math.inf,
    high: float = math.inf,
    unit: str = "",
) -> Estimate:
    """Mean of independent values, its standard error and normal interval.

    The sum is exactly rounded (`math.fsum`), so the result does not depend on the order of the values, to the
    last bit.

    >>> mean_estimate([1.0, 2.0, 3.0]).value
    2.0
    """
    n = len(values)
    if n == 0:
        return Estimate(math.nan, 0, unit=unit)
    mean = _total(values) / n
    if n < 2 or not math.isfinite(mean):
        return Estimate(mean, n, unit=unit)
    error = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)
    return Estimate(mean, n, error, normal_interval(mean, error, level=level, low=low, high=high), unit)


def _total(values: Sequence[float]) -> float:
    """`math.fsum`, with the sum of both infinities undefined instead of an error."""
    if math.inf in values and -math.inf in values:
        return math.nan
    return math.fsum(values)
