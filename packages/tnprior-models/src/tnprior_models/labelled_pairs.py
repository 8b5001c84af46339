"""The space of objects with their labels, in which a critic of both has a slope."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tnprior_models.label_rows import LabelRows

__all__ = ["LabelledPairs"]


@dataclass(frozen=True)
class LabelledPairs:
    """Points `v = (x, distance y)`: an object and the one-hot rows of its observed labels, side by side.

    Args:
        rows: the attributes, L labels in all.
        shape: of one object, D numbers.
        observed: which labels count, (B, A); the rows of the others are 0.
        distance: scale of the labels, in units of objects.

    >>> from tnprior_core import Categorical
    >>> space = LabelledPairs(LabelRows([Categorical("hat")]), (2,), torch.tensor([[True]]), distance=3.0)
    >>> v = space.join(torch.zeros(1, 2), torch.tensor([[1]]))
    >>> v
    tensor([[0., 0., 0., 3.]])
    >>> space.scores(lambda x: (x.sum(1), torch.tensor([[5.0, 7.0]])))(v)
    tensor([7.])
    """

    rows: LabelRows
    shape: Sequence[int]
    observed: Bool[Tensor, "B A"]
    distance: float

    def join(self, x: Float[Tensor, "..."], codes: Int[Tensor, "B A"]) -> Float[Tensor, "B D_plus_L"]:
        """Objects (B, \\*shape) and their codes, of which those that are not observed may be anything, as points."""
        known = torch.where(self.observed, codes, torch.zeros_like(codes))
        shown = self.observed[:, self.rows.owner]
        labels = torch.where(shown, self.rows.one_hot(known), 0.0).to(x.dtype)
        return torch.cat([x.flatten(1), self.distance * labels], dim=1)

    def scores(
        self, outputs: Callable[[Tensor], tuple[Tensor, Tensor]]
    ) -> Callable[[Float[Tensor, "B D_plus_L"]], Float[Tensor, " B"]]:
        """`D(v) = s(x) + l(x) y` of points, linear in the labels between two pairs.

        Rows of an attribute's labels sum to 1, so that a gradient along their sum leads out of the space; that of D
        has none: `l_a y_a = mean l_a + (l_a - mean l_a) y_a`.

        Args:
            outputs: objects -> scores s (B,) and logits l (B, L).
        """
        shown = self.observed[:, self.rows.owner]

        def score(v: Tensor) -> Tensor:
            x, labels = v.split([v.shape[1] - self.rows.size, self.rows.size], dim=1)
            plain, logits = outputs(x.unflatten(1, tuple(self.shape)))
            means = torch.stack([part.mean(-1) for part in self.rows.split(logits)], dim=1)
            told = (logits - means[:, self.rows.owner]) * labels * shown / self.distance
            total: Tensor = plain + (means * self.observed).sum(-1) + told.sum(-1)
            return total

        return score
