"""How many different objects are there among these, whether they look real or not?"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor

from tnprior_eval.checks import check_features
from tnprior_eval.errors import EvalError, ShapeError
from tnprior_eval.estimate import Estimate, normal_interval
from tnprior_eval.feature_metric import FeatureMetric
from tnprior_eval.feature_streams import kind_of, labelled
from tnprior_eval.jackknife import jackknife_variance
from tnprior_eval.protocol import Protocol
from tnprior_eval.result import Result, Row

KERNEL = "cosine about the mean of the real"


@dataclass(frozen=True, kw_only=True)
class VendiScoreResult(Result):
    """Effective numbers of different objects, of 1 (all alike) to n; they grow with n.

    Comparable only with the same features about the same centre and as many objects; errors are those of a
    jackknife over groups of objects.

    Args:
        generated: of the generated objects.
        real: of the real ones, about the same centre.
    """

    metric: ClassVar[str] = "vendi-score"
    generated: Estimate
    real: Estimate

    def rows(self) -> tuple[Row, ...]:
        """The score of generated objects, then of real ones."""
        name = f"{self.label}/{self.metric}"
        return (Row(name, self.generated, self.protocol), Row(f"{name}/real", self.real, self.protocol))


def vendi_score(features: Tensor, *, centre: Tensor | None = None) -> float:
    r"""The effective number of different objects: the exponential of the entropy of their similarities.

    $\exp(-\sum_i \lambda_i \log \lambda_i)$, $\lambda$ the eigenvalues of $K / n$ and $K_{ij}$ the cosine of the angle
    between $f_i - c$ and $f_j - c$ (Friedman and Dieng 2023, section 3). It asks for no other set of objects: a
    model that draws noise has a large score, so read it beside what says whether objects look real.

    Args:
        features: (n, d), n >= 1. Those equal to the centre are alike, and like no other.
        centre: c, (d,); features of networks are all positive, and seen from 0 they all lie in one direction.
            `None`: 0.

    Returns:
        1 to min(n, d + 1).

    Raises:
        ShapeError: for another shape, no object, or entries that are not finite.

    >>> round(vendi_score(torch.eye(4)), 6), round(vendi_score(torch.ones(4, 4)), 6)
    (4.0, 1.0)
    """
    directions = _directions(features, centre)
    return _score(directions.T @ directions)


def _directions(features: Tensor, centre: Tensor | None) -> Float64[Tensor, "n e"]:
    """Unit vectors from the centre; a coordinate of their own for objects that lie in it."""
    check_features("features", features)
    if not len(features):
        raise ShapeError("expected features of one object or more, received none")
    x = features.detach().cpu().double()
    if centre is not None:
        check_features("centre", centre[None], x.shape[1])
        x = x - centre.detach().cpu().double()
    length = x.norm(dim=1, keepdim=True)
    here = (length == 0).to(x)
    return torch.cat([x / (length + here), here], dim=1)


def _score(similarity: Float64[Tensor, "d d"]) -> float:
    """Of the sum of outer products of unit vectors, whose eigenvalues are those of K and zeros."""
    shares = torch.linalg.eigvalsh(similarity / similarity.trace()).clamp_min(0.0)
    return math.exp(float(torch.special.entr(shares).sum()))


def vendi_estimate(features: Tensor, centre: Tensor, *, groups: int = 20, level: float = 0.95) -> Estimate:
    """`vendi_score` of features (n, d), n >= 1, about a centre (d,), with the error of a jackknife over groups.

    >>> vendi_estimate(torch.eye(4), torch.zeros(4), groups=1).value
    4.0

    Raises:
        ShapeError: as `vendi_score`.
    """
    directions = _directions(features, centre)
    n, whole = len(directions), directions.T @ directions
    value = _score(whole)
    if n < 2 or groups < 2:
        return Estimate(value, n)
    without = [_score(whole - part) for part in _parts(directions, min(groups, n))]
    error = math.sqrt(jackknife_variance(without))
    return Estimate(value, n, error, normal_interval(value, error, level=level, low=1.0, high=n))


def _parts(directions: Tensor, groups: int) -> Iterator[Tensor]:
    """The sum over every group, interleaved as elsewhere, so that batches do not matter."""
    for first in range(groups):
        part = directions[first::groups]
        yield part.T @ part


class VendiScore(FeatureMetric):
    """Accumulates (stores) features of real and generated objects; the centre is the mean of the real ones.

    Args:
        extractor: name of the feature extractor, `kind:identity`; the kind begins the name of the numbers.
        groups: jackknife groups for the standard errors; 1 for none.
        subset: what the objects were restricted to, part of the name of the numbers.
        protocol: seed and settings of the generated objects.
        level: coverage of the intervals.

    >>> metric = VendiScore(extractor="classifier:1f3a")
    >>> metric.update(real=torch.eye(4), generated=torch.eye(4)[:1])
    >>> round(metric.compute().generated.value, 6), round(metric.compute().real.value, 6)
    (1.0, 3.0)
    """

    def __init__(
        self,
        *,
        extractor: str,
        groups: int = 20,
        subset: str = "",
        protocol: Protocol | None = None,
        level: float = 0.95,
    ) -> None:
        if groups < 1:
            raise EvalError(f"expected one jackknife group or more, received {groups}")
        super().__init__(labelled(kind_of(extractor), subset), extractor, protocol, level)
        self._groups = groups

    def compute(self) -> VendiScoreResult:
        """Both scores so far; raises `ShapeError` without objects on a side."""
        real, generated = self._tables()
        centre = real.double().mean(dim=0)
        return VendiScoreResult(
            label=self._label,
            protocol=self._protocol_for(real, generated, kernel=KERNEL),
            generated=vendi_estimate(generated, centre, groups=self._groups, level=self._level),
            real=vendi_estimate(real, centre, groups=self._groups, level=self._level),
        )
