"""Precision and recall of generated objects by k-nearest-neighbour balls in a feature space."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from tnprior_eval.checks import check_features
from tnprior_eval.errors import ShapeError
from tnprior_eval.estimate import Estimate, proportion
from tnprior_eval.feature_metric import FeatureMetric
from tnprior_eval.feature_streams import kind_of, labelled
from tnprior_eval.protocol import Protocol
from tnprior_eval.result import Result, Row


@dataclass(frozen=True, kw_only=True)
class PrecisionRecallResult(Result):
    """Shares in [0, 1]; the intervals are for the given set of reference balls.

    Args:
        precision: share of generated objects inside a ball of some real object (do they look real?).
        recall: share of real objects inside a ball of some generated object (is everything covered?).
    """

    metric: ClassVar[str] = "precision-recall"
    precision: Estimate
    recall: Estimate

    def rows(self) -> tuple[Row, ...]:
        """Precision, recall."""
        return (
            Row(f"{self.label}/precision", self.precision, self.protocol),
            Row(f"{self.label}/recall", self.recall, self.protocol),
        )


def inside_balls(
    points: Tensor, centres: Tensor, neighbours: int, *, chunk: int = 1024
) -> Bool[Tensor, " n"]:
    """Which points lie within the distance of some centre to its k-th nearest other centre.

    The manifold of Kynkäänniemi et al. 2019, eq. 1. Exact distances in float64, `chunk` rows at a time.

    Args:
        points: (n, d).
        centres: (m, d), m > neighbours.
        neighbours: k >= 1.

    Returns:
        bool (n,).

    >>> centres = torch.tensor([[0.0], [1.0], [10.0]])
    >>> inside_balls(torch.tensor([[1.5], [30.0]]), centres, 1).tolist()
    [True, False]
    """
    check_features("points", points)
    check_features("centres", centres, points.shape[1])
    if not 1 <= neighbours < len(centres):
        raise ShapeError(f"expected between 1 and {len(centres) - 1} neighbours, received {neighbours}")
    points, centres = points.detach().double(), centres.detach().double()
    radii = torch.cat(
        [_distances(part, centres).kthvalue(neighbours + 1, dim=1).values for part in centres.split(chunk)]
    )
    parts = [(_distances(part, centres) <= radii).any(dim=1) for part in points.split(chunk)]
    return torch.cat(parts) if parts else points.new_zeros(0, dtype=torch.bool)


def _distances(a: Float64[Tensor, "n d"], b: Float64[Tensor, "m d"]) -> Float64[Tensor, "n m"]:
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


class PrecisionRecall(FeatureMetric):
    """Accumulates (stores) features of real and generated objects.

    Args:
        extractor: name of the feature extractor, `kind:identity`; the kind begins the name of the numbers.
        neighbours: k, 3 in the paper.
        subset: what the objects were restricted to, part of the name of the numbers.
        protocol: seed and settings of the generated objects.
        level: coverage of the intervals.

    >>> import torch
    >>> metric = PrecisionRecall(extractor="classifier:1f3a", neighbours=1)
    >>> metric.update(real=torch.eye(4), generated=torch.eye(4)[:2])
    >>> metric.compute().precision.value
    1.0
    """

    def __init__(
        self,
        *,
        extractor: str,
        neighbours: int = 3,
        subset: str = "",
        protocol: Protocol | None = None,
        level: float = 0.95,
    ) -> None:
        super().__init__(labelled(kind_of(extractor), subset), extractor, protocol, level)
        self._neighbours = neighbours

    def compute(self) -> PrecisionRecallResult:
        """Both shares so far; raises `ShapeError` with fewer than k + 1 objects on a side."""
        real, generated = self._tables()
        precise = inside_balls(generated, real, self._neighbours)
        recalled = inside_balls(real, generated, self._neighbours)
        return PrecisionRecallResult(
            label=self._label,
            protocol=self._protocol_for(real, generated, neighbours=self._neighbours),
            precision=proportion(int(precise.sum()), len(precise), level=self._level),
            recall=proportion(int(recalled.sum()), len(recalled), level=self._level),
        )
