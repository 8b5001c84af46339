"""Two dense layers on top of features that several heads share."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["DenseHead", "LabelledCode"]


class DenseHead(nn.Module):
    """Two dense layers with SiLU between them: (B, inputs) -> (B, outputs).

    >>> DenseHead(8, 10, hidden=16)(torch.zeros(2, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(self, inputs: int, outputs: int, *, hidden: int = 256) -> None:
        super().__init__()
        self.dense = nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))

    def forward(self, features: Float[Tensor, "B inputs"]) -> Float[Tensor, "B outputs"]:
        """The head's answer."""
        answer: Tensor = self.dense(features)
        return answer


class LabelledCode(nn.Module):
    """The dense layers of an encoder that sees labels too: features (B, F), rows (B, L) -> (mu, log_sigma).

    Args:
        features: F, length of the features.
        labels: L, length of the one-hot rows of all attributes together.
        latent_size: d, length of the code.
        hidden: units of the first layer.

    >>> mu, log_sigma = LabelledCode(8, 12, latent_size=4)(torch.zeros(2, 8), torch.zeros(2, 12))
    >>> mu.shape, log_sigma.shape
    (torch.Size([2, 4]), torch.Size([2, 4]))
    """

    def __init__(self, features: int, labels: int, latent_size: int, *, hidden: int = 256) -> None:
        super().__init__()
        self.latent_size = latent_size
        self.head = DenseHead(features + labels, 2 * latent_size, hidden=hidden)

    def forward(
        self, features: Float[Tensor, "B F"], labels: Float[Tensor, "B L"]
    ) -> tuple[Float[Tensor, "B latent"], Float[Tensor, "B latent"]]:
        """Mean and log standard deviation of q(z|x, y)."""
        mu, log_sigma = self.head(torch.cat([features, labels.to(features.dtype)], dim=1)).chunk(2, dim=-1)
        return mu, log_sigma
