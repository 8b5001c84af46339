"""A weight that rises during the first updates of a training."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from tnprior_models.errors import ModelError

__all__ = ["RisingWeight"]

FIRST: Final = 0.1
"""Where it begins: at zero an encoder would shrink its noise to nothing before the prior says a word."""


class RisingWeight(nn.Module):
    """The factor on a weight at an update: from 0.1 to 1 in a straight line, and 1 from `updates` on.

    `w(t) = min(1, 0.1 + 0.9 t / updates)` in training mode, 1 in evaluation mode, so that validation numbers of all
    epochs are of the same objective. A function of the update alone: a resumed run needs no state of it.

    With all of its KL term from the first update a VAE gives up latents that the decoder cannot use yet, and a latent
    given up does not come back.
    Source: Bowman et al. 2016 (Generating Sentences from a Continuous Space); Sonderby et al. 2016 (ladder VAE).

    updates
        until the weight is whole; 0 for a weight that is whole from the beginning.

    Raises ModelError if `updates` is negative.

    >>> rising = RisingWeight(100)
    >>> rising.begin(50)
    >>> float(rising()), float(rising.eval()())
    (0.550000011920929, 1.0)
    """

    share: Tensor

    def __init__(self, updates: int = 0) -> None:
        super().__init__()
        if updates < 0:
            raise ModelError(f"expected a rise over 0 updates or more, received {updates}")
        self.updates = updates
        # A tensor, for a number that changes would make a compiled loss anew at every update.
        self.register_buffer("share", torch.ones(()), persistent=False)

    @torch.no_grad()
    def begin(self, step: int) -> None:
        """Take the weight of update `step` (0, 1, ...)."""
        if self.updates:
            self.share.fill_(min(1.0, FIRST + (1 - FIRST) * step / self.updates))

    def forward(self) -> Tensor | float:
        """The factor, a scalar."""
        return self.share if self.training and self.updates else 1.0
