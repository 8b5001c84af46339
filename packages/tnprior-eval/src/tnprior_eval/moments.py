"""Mean and covariance of a stream of features, merged exactly over batches and processes."""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from tnprior_eval.checks import check_features
from tnprior_eval.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Moments:
    """Sufficient statistics of a Gaussian fit.

    The three parts can be gathered from other processes as tensors and put together with `merge`.

    Args:
        n: number of samples.
        mean: float64 (d,).
        scatter: float64 (d, d), sum of outer products of the deviations from the mean.

    >>> Moments.of(torch.tensor([[1.0], [3.0]])).covariance
    tensor([[2.]], dtype=torch.float64)
    """

    n: int
    mean: Float64[Tensor, " d"]
    scatter: Float64[Tensor, "d d"]

    @staticmethod
    def of(features: Tensor) -> "Moments":
        """Moments of features (n, d), n >= 0; raises `ShapeError` for others and for NaN or infinity."""
        check_features("features", features)
        x = features.detach().double()
        mean = x.mean(dim=0) if len(x) else x.new_zeros(x.shape[1])
        centred = x - mean
        return Moments(len(x), mean.cpu(), (centred.T @ centred).cpu())

    @staticmethod
    def empty(dimension: int) -> "Moments":
        """Moments of no samples."""
        zeros = torch.zeros(dimension, dimension, dtype=torch.float64, device="cpu")
        return Moments(0, zeros.new_zeros(dimension), zeros)

    def merge(self, other: "Moments") -> "Moments":
        """Moments of both sets together (Chan, Golub and LeVeque 1983): no difference of large numbers."""
        if other.dimension != self.dimension:
            raise ShapeError(f"expected features of dimension {self.dimension}, received {other.dimension}")
        n = self.n + other.n
        if n == 0:
            return self
        shift = other.mean - self.mean
        scatter = self.scatter + other.scatter + torch.outer(shift, shift) * (self.n * other.n / n)
        return Moments(n, self.mean + shift * (other.n / n), scatter)

    @property
    def dimension(self) -> int:
        """Number d of features."""
        return len(self.mean)

    @property
    def covariance(self) -> Float64[Tensor, "d d"]:
        """Unbiased covariance (d, d), divisor n - 1; raises `ShapeError` for fewer than two samples."""
        if self.n < 2:
            raise ShapeError(f"expected at least two samples for a covariance, received {self.n}")
        return self.scatter / (self.n - 1)


class GroupedMoments:
    """Accumulates moments of `groups` interleaved parts, so that each part can be left out (jackknife).

    Sample i of the stream belongs to part i mod `groups`, however it is cut into batches.

    Args:
        groups: number of parts, at least 1.

    >>> import torch
    >>> moments = GroupedMoments(2)
    >>> moments.update(torch.randn(10, 3))
    >>> moments.n, len(moments.leave_one_out())
    (10, 2)
    """

    def __init__(self, groups: int) -> None:
        if groups < 1:
            raise ShapeError(f"expected at least one group, received {groups}")
        self._parts: list[Moments] = []
        self._groups = groups
        self._seen = 0

    @property
    def n(self) -> int:
        """Number of samples so far."""
        return sum(part.n for part in self._parts)

    def update(self, features: Tensor) -> None:
        """Adds features (n, d)."""
        check_features("features", features, self._parts[0].dimension if self._parts else None)
        if not self._parts:
            self._parts = [Moments.empty(features.shape[1])] * self._groups
        for g in range(self._groups):
            rows = features[(g - self._seen) % self._groups :: self._groups]
            if len(rows):
                self._parts[g] = self._parts[g].merge(Moments.of(rows))
        self._seen = (self._seen + len(features)) % self._groups

    def merge(self, other: "GroupedMoments") -> None:
        """Adds what another accumulator with as many groups has seen."""
        if other._groups != self._groups:
            raise ShapeError(f"expected {self._groups} groups, received {other._groups}")
        if self._parts and other._parts:
            self._parts = [mine.merge(theirs) for mine, theirs in zip(self._parts, other._parts, strict=True)]
        else:
            self._parts = self._parts or list(other._parts)
        self._seen = (self._seen + other._seen) % self._groups

    def total(self) -> Moments:
        """Moments of everything; raises `ShapeError` before the first sample."""
        return _merged(self._parts)

    def leave_one_out(self) -> list[Moments]:
        """Moments without each part in turn; nothing when parts are too small for that."""
        if self._groups < 2 or min((part.n for part in self._parts), default=0) == 0 or self.n < 4:
            return []
        ahead, behind = [self._parts[0]], [self._parts[-1]]
        for part in self._parts[1:-1]:
            ahead.append(ahead[-1].merge(part))
        for part in reversed(self._parts[1:-1]):
            behind.append(behind[-1].merge(part))
        inner = [a.merge(b) for a, b in zip(ahead[:-1], reversed(behind[:-1]), strict=True)]
        return [behind[-1], *inner, ahead[-1]]


def _merged(parts: list[Moments]) -> Moments:
    if not parts:
        raise ShapeError("expected at least one update before compute, received none")
    total = parts[0]
    for part in parts[1:]:
        total = total.merge(part)
    return total
