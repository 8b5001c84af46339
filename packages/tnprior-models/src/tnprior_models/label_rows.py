"""Attribute codes as one-hot rows side by side, and label distributions as rows of log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from tnprior_core import Categorical
from tnprior_models.errors import ModelError

__all__ = ["DrawnLabels", "LabelRows"]


class DrawnLabels(NamedTuple):
    """Completed attribute tables: `codes` int64 (S, B, A) and their one-hot `rows` (S, B, L)."""

    codes: Tensor
    rows: Tensor


class LabelRows(nn.Module):
    """The one-hot rows of several attributes joined into one row of L = sum_a C_a entries.

    Args:
        sites: the attributes, in the order of the columns of a code table.

    Raises:
        ModelError: no attribute.

    >>> rows = LabelRows([Categorical("hat"), Categorical("digit", ("a", "b", "c"))])
    >>> rows.one_hot(torch.tensor([[1, 2]]))
    tensor([[0., 1., 0., 0., 1.]])
    """

    offsets: Tensor
    owner: Tensor

    def __init__(self, sites: Sequence[Categorical]) -> None:
        super().__init__()
        if not sites:
            raise ModelError("expected a prior with at least one attribute, received none")
        self.sizes = [site.states for site in sites]
        self.size = sum(self.sizes)
        sizes = torch.tensor(self.sizes)
        self.register_buffer("offsets", sizes.cumsum(0) - sizes, persistent=False)
        self.register_buffer(
            "owner", torch.repeat_interleave(torch.arange(len(self.sizes)), sizes), persistent=False
        )

    def one_hot(self, codes: Int[Tensor, "*rows A"]) -> Float[Tensor, "*rows L"]:
        """The joined one-hot rows of codes, in the default dtype."""
        empty = torch.zeros(*codes.shape[:-1], self.size, device=codes.device)
        return empty.scatter(-1, codes + self.offsets, 1.0)

    def log_probs(self, logits: Float[Tensor, "*rows L"]) -> Float[Tensor, "*rows L"]:
        """log q(y_a = c|x) from joined logits, normalised attribute by attribute, at least single precision."""
        precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return torch.cat([part.log_softmax(-1) for part in self.split(precise)], dim=-1)

    def split(self, rows: Float[Tensor, "*rows L"]) -> tuple[Tensor, ...]:
        """One (..., C_a) table per attribute."""
        return torch.split(rows, self.sizes, dim=-1)

    def of_codes(
        self, log_probs: Float[Tensor, "... L"], codes: Int[Tensor, "... A"]
    ) -> Float[Tensor, "... A"]:
        """log q(y_a|x) of given codes, attribute by attribute; leading axes are broadcast."""
        shape = torch.broadcast_shapes(log_probs.shape[:-1], codes.shape[:-1])
        places = (codes + self.offsets).expand(*shape, codes.shape[-1])
        return log_probs.expand(*shape, self.size).gather(-1, places)

    def entropy(self, log_probs: Float[Tensor, "*rows L"]) -> Float[Tensor, "*rows A"]:
        """Entropy of q(y_a|x) in nats, attribute by attribute."""
        terms = -log_probs.exp() * log_probs
        return torch.stack([part.sum(-1) for part in self.split(terms)], dim=-1)

    def complete(
        self,
        log_probs: Float[Tensor, "B L"],
        codes: Int[Tensor, "B A"],
        observed: Bool[Tensor, "B A"],
        *,
        samples: int,
        temperature: float,
    ) -> DrawnLabels:
        """Draw the labels that are not observed from q(y|x), with straight-through gradients.

        The codes are exact draws (Gumbel maximum) and so are the rows' values; the rows' gradient is that of
        a softmax of the same noise at `temperature`, which is biased. Observed labels carry no gradient.

        Sources: Jang et al. 2017 (straight-through Gumbel-softmax); Bengio et al. 2013 (straight-through).
        """
        noise = -torch.empty(samples, *log_probs.shape, device="cpu").exponential_().log().to(log_probs)
        noisy = log_probs + noise
        drawn = torch.stack([part.argmax(-1) for part in self.split(noisy)], dim=-1)
        known = torch.where(observed, codes, drawn)
        soft = torch.cat([(part / temperature).softmax(-1) for part in self.split(noisy)], dim=-1)
        free = (~observed)[:, self.owner].to(soft)
        rows = self.one_hot(known).to(soft) + (soft - soft.detach()) * free
        return DrawnLabels(known, rows)
