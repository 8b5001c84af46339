"""Standard normal codes whose labels a network reads off: the prior of models with a label decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from tnprior_core import Categorical, Gaussian, LabelLegs, Legs, Likelihood, Mixture
from tnprior_models.decoded_distribution import DecodedDistribution
from tnprior_models.errors import ModelError
from tnprior_models.label_rows import LabelRows
from tnprior_models.layout import SiteLayout

__all__ = ["DecodedPrior"]


@final
class DecodedPrior(nn.Module):
    """`p(z, y) = N(z; 0, I) prod_a p(y_a|z)` with a label decoder p(y_a|z) and a label encoder q(z|y_ob).

    Labels depend on each other through the code. What a tensor network sums out exactly no formula gives
    here: p(z|y_ob) is replaced by q(z|y_ob), which takes any subset of the labels, and log p(y_ob) is
    estimated (`DecodedDistribution`).

    Args:
        sites: d continuous sites (their `components` are not used) and the attributes.
        label_decoder: codes (B, d) -> logits (B, L) of all attributes' labels side by side.
        label_encoder: joined one-hot rows (B, L), zero where a label is not known -> mean and log standard
            deviation of q(z|y_ob), each (B, d).

    Raises:
        ModelError: no continuous site, or no attribute.

    >>> from tnprior_models.nets import DenseHead, LabelExperts
    >>> sites = [Gaussian("z0"), Gaussian("z1"), Categorical("hat")]
    >>> prior = DecodedPrior(sites, DenseHead(2, 2), LabelExperts(2, latent_size=2))
    >>> prior().condition({"hat": "1"}).sample((5,), seed=0).shape
    torch.Size([5, 3])
    """

    def __init__(
        self, sites: Sequence[Gaussian | Categorical], label_decoder: nn.Module, label_encoder: nn.Module
    ) -> None:
        super().__init__()
        self.sites = tuple(sites)
        self.layout = SiteLayout(self.sites)
        self.rows = LabelRows(self.layout.categorical)
        self.label_decoder = label_decoder
        self.label_encoder = label_encoder

    def forward(self) -> DecodedDistribution:
        """The distribution for the current parameters."""
        return DecodedDistribution(self)

    def standard(self, like: Tensor) -> Independent[Any]:
        """p(z) = N(0, I): batch shape (), event shape (d,)."""
        zero = like.new_zeros(self.layout.latent_size)
        return Independent(Normal(zero, torch.ones_like(zero), validate_args=False), 1, validate_args=False)

    def log_labels(self, z: Float[Tensor, "*codes d"]) -> Float[Tensor, "*codes L"]:
        """log p(y_a = c|z) of every label of every attribute, side by side; at least single precision.

        Raises:
            ModelError: the label decoder gives another number of logits.
        """
        return self.normalized(self.label_decoder(z.flatten(0, -2)).unflatten(0, z.shape[:-1]))

    def normalized(self, logits: Float[Tensor, "*codes _"]) -> Float[Tensor, "*codes L"]:
        """log p(y_a|z) from the label decoder's logits."""
        if logits.shape[-1] != self.rows.size:
            raise ModelError(
                f"expected {self.rows.size} logits from the label decoder, one for each label of "
                f"{[site.name for site in self.layout.categorical]}, received {logits.shape[-1]}"
            )
        return self.rows.log_probs(logits)

    def log_observed(
        self, log_labels: Float[Tensor, "S B L"], codes: Int[Tensor, "B A"], observed: Bool[Tensor, "B A"]
    ) -> Float[Tensor, "S B"]:
        """sum over the observed attributes of log p(y_a|z_s), from `log_labels(z)`."""
        known = torch.where(observed, codes, torch.zeros_like(codes))
        return (self.rows.of_codes(log_labels, known) * observed).sum(-1)

    def one_hot(self, codes: Int[Tensor, "B A"], observed: Bool[Tensor, "B A"]) -> Float[Tensor, "B L"]:
        """Joined one-hot rows, zero at attributes that are not observed."""
        known = torch.where(observed, codes, torch.zeros_like(codes))
        return self.rows.one_hot(known) * observed[:, self.rows.owner]

    def given(self, codes: Int[Tensor, "B A"], observed: Bool[Tensor, "B A"]) -> Independent[Any]:
        """q(z|y_ob), batch shape (B,), event shape (d,); exactly N(0, I) where nothing is observed."""
        mu, log_sigma = self.label_encoder(self.one_hot(codes, observed).to(self._like()))
        expected = (codes.shape[0], self.layout.latent_size)
        if tuple(mu.shape) != expected or tuple(log_sigma.shape) != expected:
            raise ModelError(
                f"expected codes of shape {expected} from the label encoder, received {tuple(mu.shape)}"
            )
        some = observed.any(dim=-1, keepdim=True)
        precision = torch.promote_types(mu.dtype, torch.float32)
        mu, log_sigma = (torch.where(some, part.to(precision), 0.0) for part in (mu, log_sigma))
        return Independent(Normal(mu, log_sigma.exp(), validate_args=False), 1, validate_args=False)

    def draw_labels(
        self, z: Float[Tensor, "m B d"], *, seed: int, first_row: int = 0
    ) -> Int[Tensor, "m B A"]:
        """One draw of all labels from p(y|z) for each of m codes of B rows.

        Draw i of row b depends on its code, the seed, i and `first_row + b` alone.
        """
        sites = self.layout.categorical
        tables = [part.exp() for part in self.rows.split(self.log_labels(z))]
        legs = [LabelLegs((a,), site.states, z.new_zeros(1, 1, site.states)) for a, site in enumerate(sites)]
        apart = Mixture(Legs(sites, legs), z.new_zeros(1))
        drawn = [
            apart.condition(
                {site.name: Likelihood(table[i]) for site, table in zip(sites, tables, strict=True)}
            ).sample((1,), seed=seed, first=i, first_row=first_row)[0]
            for i in range(len(z))
        ]
        return (
            torch.stack(drawn).round().long()
            if drawn
            else self.rows.offsets.new_zeros(*z.shape[:2], len(sites))
        )

    def _like(self) -> Tensor:
        return next(self.parameters())
