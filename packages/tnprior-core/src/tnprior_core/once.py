"""Results that are computed once, for callers with gradients and for those without."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["once"]


def once(found: dict[bool, Tensor], compute: Callable[[], Tensor]) -> Tensor:
    """Compute once with gradients and once without: what was found under `no_grad` must not serve a loss.

    >>> found = {}
    >>> once(found, lambda: torch.ones(1)) is once(found, lambda: torch.zeros(1))
    True
    """
    tracked = torch.is_grad_enabled()
    if tracked not in found:
        found[tracked] = found[True].detach() if True in found else compute()
    return found[tracked]
