"""Fréchet distance in the feature space of a classifier of the data at hand. It is not an FID."""

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from tnprior_eval.errors import EvalError
from tnprior_eval.feature_streams import MomentStreams, check_same_extractor, kind_of, labelled
from tnprior_eval.frechet import JackknifeDistance
from tnprior_eval.moments import GroupedMoments
from tnprior_eval.protocol import Protocol
from tnprior_eval.result import Result, Row


@dataclass(frozen=True, kw_only=True)
class ClassifierFrechetResult(Result):
    """Fréchet distance between classifier features of real and of generated objects. **Not an FID.**

    Comparable only between models measured with the same classifier (`protocol.extractor`) and sample counts.

    Args:
        frechet: distance with jackknife error and bias.
        real, generated: number of objects on either side.
    """

    metric: ClassVar[str] = "classifier-frechet"
    frechet: JackknifeDistance
    real: int
    generated: int

    def rows(self) -> tuple[Row, ...]:
        """The distance, then the distance with the bias of finite samples removed."""
        return self.frechet.rows(self.label, self.protocol)


class ClassifierFrechet:
    """Accumulates classifier features of real and generated objects.

    Args:
        extractor: name of the classifier, `Classifier.extractor`.
        groups: jackknife groups for the standard error; 1 for none.
        real: moments of the real objects from an earlier accumulator (its `real`), to save the work.
        subset: what the objects were restricted to, part of the name of the number.
        protocol: seed and settings of the generated objects.
        level: coverage of the interval.

    Raises:
        EvalError: for an Inception extractor, whose distance is an FID and belongs into `InceptionFid`.

    >>> import torch
    >>> metric = ClassifierFrechet(extractor="classifier:1f3a")
    >>> metric.update(real=torch.eye(40), generated=torch.eye(40) + 1)
    >>> round(metric.compute().frechet.distance.value, 6)
    40.0
    """

    def __init__(
        self,
        *,
        extractor: str,
        groups: int = 20,
        real: GroupedMoments | None = None,
        subset: str = "",
        protocol: Protocol | None = None,
        level: float = 0.95,
    ) -> None:
        if "inception" in kind_of(extractor).lower():
            raise EvalError(
                f"expected the extractor of a classifier, received {extractor!r}; use InceptionFid for it"
            )
        self._streams = MomentStreams(groups, real)
        self._extractor, self._label = extractor, labelled(ClassifierFrechetResult.metric, subset)
        self._protocol, self._level = protocol or Protocol(), level

    @property
    def real(self) -> GroupedMoments:
        """Moments of the real objects, for another accumulator."""
        return self._streams.real

    def update(self, *, real: Tensor | None = None, generated: Tensor | None = None) -> None:
        """Adds classifier features (n, d); raises `ShapeError` for others and for NaN or infinity."""
        self._streams.update(real, generated)

    def merge(self, other: "ClassifierFrechet") -> None:
        """Adds what another accumulator of the same classifier has seen."""
        check_same_extractor(self._extractor, other._extractor)
        self._streams.merge(other._streams)

    def compute(self) -> ClassifierFrechetResult:
        """The distance so far; raises `ShapeError` with fewer than two objects on a side."""
        counted = self._protocol.having(real=self.real.n, generated=self._streams.generated.n)
        protocol = replace(counted, extractor=self._extractor)
        return ClassifierFrechetResult(
            label=self._label,
            protocol=protocol,
            frechet=self._streams.distance(level=self._level),
            real=self.real.n,
            generated=self._streams.generated.n,
        )
