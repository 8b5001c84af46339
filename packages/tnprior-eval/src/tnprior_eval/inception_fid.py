"""Fréchet Inception distance, the published one."""

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from tnprior_eval.checks import check_features
from tnprior_eval.feature_streams import MomentStreams, check_same_extractor, labelled
from tnprior_eval.frechet import JackknifeDistance
from tnprior_eval.inception import DIMENSION, Inception
from tnprior_eval.moments import GroupedMoments
from tnprior_eval.protocol import Protocol, versions
from tnprior_eval.result import Result, Row


@dataclass(frozen=True, kw_only=True)
class InceptionFidResult(Result):
    """FID: 2048 pooled Inception-v3 features, weights and resize of the original TensorFlow graph
    (torch-fidelity).

    Comparable with published numbers only for the official weights and the same number of images
    (50,000 against the whole data set, as a rule).

    Args:
        frechet: distance with jackknife error and bias.
        real, generated: number of images on either side.
    """

    metric: ClassVar[str] = "inception-fid"
    frechet: JackknifeDistance
    real: int
    generated: int

    def rows(self) -> tuple[Row, ...]:
        """The distance, then the distance with the bias of finite samples removed."""
        return self.frechet.rows(self.label, self.protocol)


class InceptionFid:
    """Accumulates Inception features of real and generated images.

    Args:
        inception: the extractor, see `Inception.load`.
        groups: jackknife groups for the standard error; 1 for none, each group costs two decompositions of
            2048 x 2048 matrices (seconds) and 64 MB.
        real: moments of the real images from an earlier accumulator (its `real`), to save the work.
        subset: what the images were restricted to, part of the name of the number.
        protocol: seed and settings of the generated images.
        level: coverage of the interval.

    >>> import torch
    >>> fid = InceptionFid(Inception(torch.nn.Identity(), identity="1f3a", official=False))
    >>> fid.update(real=torch.randn(4, 2048), generated=torch.randn(4, 2048))
    >>> fid.real.n
    4
    """

    def __init__(
        self,
        inception: Inception,
        *,
        groups: int = 1,
        real: GroupedMoments | None = None,
        subset: str = "",
        protocol: Protocol | None = None,
        level: float = 0.95,
    ) -> None:
        self._streams = MomentStreams(groups, real)
        self._extractor, self._label = inception.extractor, labelled(InceptionFidResult.metric, subset)
        self._protocol, self._level = (protocol or Protocol()).having(**inception.settings), level

    @property
    def real(self) -> GroupedMoments:
        """Moments of the real images, for another accumulator."""
        return self._streams.real

    def update(self, *, real: Tensor | None = None, generated: Tensor | None = None) -> None:
        """Adds features (n, 2048) from `Inception.features`; raises `ShapeError` for others."""
        for name, features in (("real", real), ("generated", generated)):
            if features is not None:
                check_features(name, features, DIMENSION)
        self._streams.update(real, generated)

    def merge(self, other: "InceptionFid") -> None:
        """Adds what another accumulator with the same weights has seen."""
        check_same_extractor(self._extractor, other._extractor)
        self._streams.merge(other._streams)

    def compute(self) -> InceptionFidResult:
        """The distance so far; raises `ShapeError` with fewer than two images on a side."""
        counted = self._protocol.having(real=self.real.n, generated=self._streams.generated.n)
        protocol = replace(counted, extractor=self._extractor, versions=versions("torch-fidelity"))
        return InceptionFidResult(
            label=self._label,
            protocol=protocol,
            frechet=self._streams.distance(level=self._level),
            real=self.real.n,
            generated=self._streams.generated.n,
        )
