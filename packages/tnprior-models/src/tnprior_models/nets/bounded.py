"""Smooth limits for log standard deviations: never exceeded, never without a gradient."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

__all__ = ["LOG_SIGMA_RANGE", "floor_softly", "limit_softly"]

LOG_SIGMA_RANGE = (-7.0, 3.0)
"""Of the log standard deviation of a code that a network gives."""


def floor_softly(value: Tensor, low: float) -> Tensor:
    """`low + softplus(value - low)`: above `low` always, equal to `value` far above it.

    A hard clamp has gradient zero beyond its bound, so a parameter that once crossed it never comes
    back; here the gradient is `sigmoid(value - low)`, small but never zero.

    >>> import torch
    >>> [round(v, 3) for v in floor_softly(torch.tensor([-100.0, -7.0, 2.0]), -7.0).tolist()]
    [-7.0, -6.307, 2.0]
    """
    return softplus(value - low) + low


def limit_softly(value: Tensor, low: float, high: float) -> Tensor:
    """`value` kept within (low, high) by two soft bounds; nearly the identity well inside.

    >>> import torch
    >>> [round(v, 2) for v in limit_softly(torch.tensor([-99.0, -1.0, 99.0]), -7.0, 3.0).tolist()]
    [-7.0, -1.02, 3.0]
    """
    return floor_softly(high - softplus(high - value), low)
