"""Random numbers that a seed alone decides, wherever the modules that they start are made."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["seeded_normal", "seeded_uniform"]


def seeded_normal(*shape: int, generator: torch.Generator) -> Tensor:
    """Draw standard normal numbers where the generator is; return them on torch's default device.

    So a prior starts with the same parameters on every device, and `with torch.device("cuda"):` makes it there, as
    it does torch's own modules.

    >>> with torch.device("meta"):
    ...     drawn = seeded_normal(2, 3, generator=torch.Generator().manual_seed(0))
    >>> drawn.device
    device(type='meta')
    """
    return torch.randn(shape, generator=generator, device=generator.device).to(torch.get_default_device())


def seeded_uniform(*shape: int, generator: torch.Generator) -> Tensor:
    """Draw numbers in [0, 1) likewise.

    >>> seeded_uniform(2, 3, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3])
    """
    return torch.rand(shape, generator=generator, device=generator.device).to(torch.get_default_device())
