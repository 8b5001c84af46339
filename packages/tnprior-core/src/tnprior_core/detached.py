"""Values of tensors, without what they were computed from."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["detached"]


def detached(tensor: Tensor) -> Tensor:
    """Return the values without a graph, such that another graph can save them.

    That is the same memory, but a copy of what was made in inference mode, which no graph takes.

    >>> with torch.inference_mode():
    ...     made = torch.ones(2)
    >>> detached(made).is_inference()
    False
    """
    if not tensor.is_inference():
        return tensor.detach()
    with torch.inference_mode(False):
        return tensor.clone()
