"""Numbers as a person reads them."""

import math

from tnprior_eval import Estimate


def percent(value: float) -> str:
    """A share in per cent, one digit after the point.

    >>> percent(0.9734)
    '97.3 %'
    """
    return f"{100 * value:.1f} %" if math.isfinite(value) else "unknown"


def number(value: float) -> str:
    """About four digits.

    >>> number(0.01234), number(-103.456), number(10834.2)
    ('0.0123', '-103.5', '10834')
    """
    if not math.isfinite(value):
        return "unknown"
    size = abs(value)
    if size >= 1000:
        return f"{value:.0f}"
    return f"{value:.1f}" if size >= 100 else f"{value:.2f}" if size >= 1 else f"{value:.3g}"


def interval(estimate: Estimate, *, as_percent: bool) -> str:
    """The 95 % interval as text, empty where there is none.

    >>> from tnprior_eval import proportion
    >>> interval(proportion(3, 4), as_percent=True)
    '30.1 to 95.4 %'
    """
    found = estimate.interval
    if found is None or not math.isfinite(found.low + found.high):
        return ""
    if as_percent:
        return f"{100 * found.low:.1f} to {100 * found.high:.1f} %"
    return f"{number(found.low)} to {number(found.high)}"
