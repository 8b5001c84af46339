"""Numbers too large or too small for a float: a value and the logarithm of its scale."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Scaled", "reciprocal", "rescale"]


class Scaled(NamedTuple):
    """A non-negative array `value * exp(log_scale)` whose `value` stays near one.

    Every product along a chain of cores is kept in this form, which is the whole story of numerical
    stability here: no logarithm of a sum per bond, no epsilon in a density.

    value
        the array, largest entry one (or all zeros).
    log_scale
        natural logarithm of what was divided out, one number per leading (batch) entry.

    >>> x = rescale(torch.tensor([[2.0, 4.0]]))
    >>> x.value, x.log_scale.exp()
    (tensor([[0.5000, 1.0000]]), tensor([4.]))
    """

    value: Tensor
    log_scale: Tensor


def rescale(value: Tensor) -> Scaled:
    """Divide every batch entry by its largest element: `x = x / c * exp(log c)`.

    An entry of zeros keeps its zeros (`log_scale` is then the log of the smallest normal number), so that
    a later sum is zero and its logarithm minus infinity: an impossible event, not a NaN.

    >>> rescale(torch.zeros(1, 3)).value
    tensor([[0., 0., 0.]])
    """
    peak = value.flatten(1).amax(1).clamp_min(torch.finfo(value.dtype).tiny)
    return Scaled(value / peak.reshape(-1, *[1] * (value.dim() - 1)), peak.log())


def reciprocal(mass: Tensor) -> Tensor:
    """1 / F, and zero where F is zero: what is impossible has no direction to move in.

    >>> reciprocal(torch.tensor([4.0, 0.0]))
    tensor([0.2500, 0.0000])
    """
    return mass.reciprocal().nan_to_num_(posinf=0.0)
