"""Weights that rise or fall during the first updates of a training."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from tnprior_models.errors import ModelError

__all__ = ["ChangingWeight", "FallingWeight", "RisingWeight"]

FIRST: Final = 0.1
"""Where a weight begins to rise: at zero an encoder would shrink its noise to nothing before the prior says a word."""


class ChangingWeight(nn.Module):
    """The factor on a weight at an update: that of `at` in training mode, 1 from `updates` on.

    It is 1 in evaluation mode, so that validation numbers of all epochs are of the same objective, and a function of
    the update alone: a resumed run needs no state of it. Subclasses say how it changes.

    updates
        until the weight is what it is; 0 for a weight that never changes.

    Raises ModelError if `updates` is negative.
    """

    share: Tensor

    def __init__(self, updates: int = 0) -> None:
        super().__init__()
        if updates < 0:
            raise ModelError(f"expected a weight that changes over 0 updates or more, received {updates}")
        self.updates = updates
        # A tensor, for a number that changes would make a compiled loss anew at every update.
        self.register_buffer("share", torch.ones(()), persistent=False)

    def at(self, progress: float) -> float:
        """The factor when that part of the updates, in [0, 1), is done."""
        raise NotImplementedError

    @torch.no_grad()
    def begin(self, step: int) -> None:
        """Take the weight of update `step` (0, 1, ...)."""
        if self.updates:
            self.share.fill_(self.at(step / self.updates) if step < self.updates else 1.0)

    def forward(self) -> Tensor | float:
        """The factor, a scalar."""
        return self.share if self.training and self.updates else 1.0


class RisingWeight(ChangingWeight):
    """From 0.1 to 1 in a straight line: `w(t) = min(1, 0.1 + 0.9 t / updates)`.

    With all of its KL term from the first update a VAE gives up latents that the decoder cannot use yet, and a latent
    given up does not come back.
    Source: Bowman et al. 2016 (Generating Sentences from a Continuous Space); Sonderby et al. 2016 (ladder VAE).

    >>> rising = RisingWeight(100)
    >>> rising.begin(50)
    >>> float(rising()), float(rising.eval()())
    (0.550000011920929, 1.0)
    """

    def at(self, progress: float) -> float:
        """`0.1 + 0.9 progress`."""
        return FIRST + (1 - FIRST) * progress


class FallingWeight(ChangingWeight):
    """From `lead` to 1 by equal ratios: `w(t) = lead^max(0, 1 - t / updates)`.

    Where a few labels stand against thousands of pixels, an encoder that gives both their due learns the pixels first
    and then has the labels by heart before it can read them. With the labels in the lead it reads them within a few
    epochs, and the pixels follow as the lead shrinks.

    lead
        the first factor, 1 or more.

    Raises ModelError if `lead` is below 1 or `updates` negative.

    >>> falling = FallingWeight(16.0, 100)
    >>> falling.begin(50)
    >>> float(falling()), float(falling.eval()())
    (4.0, 1.0)
    """

    def __init__(self, lead: float = 1.0, updates: int = 0) -> None:
        super().__init__(updates)
        if not lead >= 1:
            raise ModelError(f"expected a weight that falls from 1 or more times its value, received {lead}")
        self.lead = float(lead)

    def at(self, progress: float) -> float:
        """`lead^(1 - progress)`."""
        value: float = self.lead ** (1 - progress)
        return value
