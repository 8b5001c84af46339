"""Features of real and of generated objects, kept for metrics that compare every object with every other."""

import torch
from torch import Tensor

from tnprior_eval.checks import check_features
from tnprior_eval.errors import ShapeError


class FeatureStore:
    """Two growing tables of features (n, d), on the CPU."""

    def __init__(self) -> None:
        self._real: list[Tensor] = []
        self._generated: list[Tensor] = []

    def update(self, real: Tensor | None, generated: Tensor | None) -> None:
        """Adds features (n, d); raises `ShapeError` for another shape or entries that are not finite."""
        for name, features, store in (("real", real, self._real), ("generated", generated, self._generated)):
            if features is not None:
                check_features(name, features, self._dimension())
                store.append(features.detach().cpu())

    def merge(self, other: "FeatureStore") -> None:
        """Adds both tables of another store."""
        self._real.extend(other._real)
        self._generated.extend(other._generated)

    def tables(self) -> tuple[Tensor, Tensor]:
        """Real and generated features; raises `ShapeError` when one of them is missing."""
        if not self._real or not self._generated:
            raise ShapeError(
                "expected features of real and of generated objects before compute, received none"
            )
        return torch.cat(self._real), torch.cat(self._generated)

    def _dimension(self) -> int | None:
        first = next(iter(self._real + self._generated), None)
        return None if first is None else first.shape[1]
