"""Features of real and of generated objects, kept by metrics that compare every object with every other."""

from dataclasses import replace
from typing import Self

import torch
from torch import Tensor

from tnprior_eval.checks import check_features
from tnprior_eval.errors import ShapeError
from tnprior_eval.feature_streams import check_same_extractor
from tnprior_eval.protocol import Protocol, Setting


class FeatureMetric:
    """Two growing tables of features (n, d), on the CPU, and what is said of them in a report.

    Args:
        label: prefix of the numbers.
        extractor: name of the feature extractor, `kind:identity`.
        protocol: seed and settings of the generated objects.
        level: coverage of the intervals.
    """

    def __init__(self, label: str, extractor: str, protocol: Protocol | None, level: float) -> None:
        self._label, self._extractor, self._level = label, extractor, level
        self._protocol = protocol or Protocol()
        self._real: list[Tensor] = []
        self._generated: list[Tensor] = []

    def update(self, *, real: Tensor | None = None, generated: Tensor | None = None) -> None:
        """Adds features (n, d); raises `ShapeError` for another shape or entries that are not finite."""
        for name, features, table in (("real", real, self._real), ("generated", generated, self._generated)):
            if features is not None:
                check_features(name, features, self._dimension())
                table.append(features.detach().cpu())

    def merge(self, other: Self) -> None:
        """Adds what another accumulator of the same features has seen."""
        check_same_extractor(self._extractor, other._extractor)
        self._real.extend(other._real)
        self._generated.extend(other._generated)

    def _tables(self) -> tuple[Tensor, Tensor]:
        """Real and generated features; raises `ShapeError` when one of them is missing."""
        if not self._real or not self._generated:
            raise ShapeError(
                "expected features of real and of generated objects before compute, received none"
            )
        return torch.cat(self._real), torch.cat(self._generated)

    def _protocol_for(self, real: Tensor, generated: Tensor, **settings: Setting) -> Protocol:
        """How many objects were compared, in whose features, and these settings."""
        counted = self._protocol.having(**settings, real=len(real), generated=len(generated))
        return replace(counted, extractor=self._extractor)

    def _dimension(self) -> int | None:
        first = next(iter(self._real + self._generated), None)
        return None if first is None else first.shape[1]
