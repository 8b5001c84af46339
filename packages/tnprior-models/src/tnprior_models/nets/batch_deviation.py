"""What a critic sees of a whole batch: how much its objects differ."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["BatchDeviation"]

_FLOOR = 1e-8


class BatchDeviation(nn.Module):
    """`x -> (x, s)`: one more channel, the standard deviation of the features over the batch, averaged to a number.

        s = mean over c, h, w of sqrt( var over b of x[b, c, h, w] + 1e-8 )

    A generator that makes one object again and again gives itself away here, whichever object it is. The score of an
    object then depends a little on its company.

    Source: Karras et al. 2018 (progressive growing), section 3, with the whole batch as the group.

    >>> same = torch.ones(3, 2, 4, 4)
    >>> BatchDeviation()(same)[:, 2].max() < 1e-3
    tensor(True)
    """

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B more H W"]:
        """Features with one more channel."""
        # Not `var`, which warns of a batch of one, as `GAN.read_labels` has it.
        deviation = ((x - x.mean(0)).square().mean(0) + _FLOOR).sqrt().mean()
        return torch.cat([x, deviation.expand(len(x), 1, *x.shape[2:])], 1)
