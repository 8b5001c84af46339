"""Encoders of any subset of the labels: joined one-hot rows, zero where a label is not known, to a Gaussian."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tnprior_models.nets.bounded import LOG_SIGMA_RANGE, limit_softly
from tnprior_models.nets.dense_head import DenseHead

__all__ = ["DenseCode", "LabelCode", "LabelExperts"]

LOG_PRECISION_RANGE = (-7.0, 9.0)
VAGUE = -2.0
"""Log precision of an expert whose network answers zero."""


class DenseCode(nn.Module):
    """Two dense layers to mean and log standard deviation: (B, inputs) -> two times (B, d).

    >>> mu, log_sigma = DenseCode(8, latent_size=4)(torch.zeros(2, 8))
    >>> mu.shape, log_sigma.shape
    (torch.Size([2, 4]), torch.Size([2, 4]))
    """

    def __init__(self, inputs: int, latent_size: int, *, hidden: int = 256) -> None:
        super().__init__()
        self.head = DenseHead(inputs, 2 * latent_size, hidden=hidden)

    def forward(
        self, features: Float[Tensor, "B inputs"]
    ) -> tuple[Float[Tensor, "B latent"], Float[Tensor, "B latent"]]:
        """Mean and log standard deviation."""
        mu, log_sigma = self.head(features).chunk(2, dim=-1)
        return mu, log_sigma


class LabelCode(nn.Module):
    """q(z|y_ob) by one network that reads all labels at once: any dependence between them, learned.

    Args:
        labels: L, length of the one-hot rows of all attributes together.
        latent_size: d, length of the code.
        hidden: units of the first layer.

    >>> LabelCode(5, latent_size=4)(torch.zeros(2, 5))[0].shape
    torch.Size([2, 4])
    """

    def __init__(self, labels: int, latent_size: int, *, hidden: int = 256) -> None:
        super().__init__()
        self.code = DenseCode(labels, latent_size, hidden=hidden)

    def forward(
        self, rows: Float[Tensor, "B L"]
    ) -> tuple[Float[Tensor, "B latent"], Float[Tensor, "B latent"]]:
        """Mean and log standard deviation."""
        mu, log_sigma = self.code(rows)
        return mu, limit_softly(log_sigma, *LOG_SIGMA_RANGE)


class LabelExperts(nn.Module):
    """q(z|y_ob) as a product of Gaussian experts, one for every known label, and of the universal one N(0, I).

    `q(z|y_ob) ~ N(z; 0, I) prod_{a in ob} N(z; m_{y_a}, 1/t_{y_a})`: precisions add, the mean is that of the
    experts weighted by their precisions, `sum t m / (1 + sum t)`. A missing label is an expert less; without
    any the answer is N(0, I). One network gives the expert of every label from its one-hot row; free tables of
    means and precisions could say as much, but learn far more slowly with the step size of a network.

    Source: Vedantam et al. 2018, "Generative models of visually grounded imagination", section 2.3.

    Args:
        labels: L, length of the one-hot rows of all attributes together.
        latent_size: d, length of the code.
        hidden: units of the first layer.

    >>> mu, log_sigma = LabelExperts(5, latent_size=2)(torch.zeros(1, 5))
    >>> mu, log_sigma
    (tensor([[0., 0.]], grad_fn=<DivBackward0>), tensor([[-0., -0.]], grad_fn=<MulBackward0>))
    """

    labels: Tensor

    def __init__(self, labels: int, latent_size: int, *, hidden: int = 256) -> None:
        super().__init__()
        self.code = DenseCode(labels, latent_size, hidden=hidden)
        self.register_buffer("labels", torch.eye(labels), persistent=False)

    def forward(
        self, rows: Float[Tensor, "B L"]
    ) -> tuple[Float[Tensor, "B latent"], Float[Tensor, "B latent"]]:
        """Mean and log standard deviation of the product."""
        mean, precision = self.experts()
        with torch.autocast(rows.device.type, enabled=False):
            rows = rows.to(precision)
            total = 1 + rows @ precision
            return rows @ (precision * mean) / total, -0.5 * total.log()

    def experts(self) -> tuple[Float[Tensor, "L latent"], Float[Tensor, "L latent"]]:
        """Mean and precision of the expert of every label; vague at the start."""
        mean, log_precision = self.code(self.labels)
        precise = torch.promote_types(mean.dtype, torch.float32)
        limited = limit_softly(log_precision.to(precise) + VAGUE, *LOG_PRECISION_RANGE)
        return mean.to(precise), limited.exp()
