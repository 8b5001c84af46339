"""Kernel (maximum mean) distance between features: unbiased, of all samples, with a jackknife error."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor

from tnprior_eval.checks import check_features
from tnprior_eval.errors import ShapeError
from tnprior_eval.estimate import Estimate, normal_interval
from tnprior_eval.feature_metric import FeatureMetric
from tnprior_eval.feature_streams import kind_of, labelled
from tnprior_eval.jackknife import jackknife_variance
from tnprior_eval.protocol import Protocol
from tnprior_eval.result import Result, Row

KERNEL = "((x.y)/d + 1)^3"


@dataclass(frozen=True, kw_only=True)
class KernelDistanceResult(Result):
    """Squared maximum mean discrepancy, unbiased, so it may be slightly negative. With Inception features:
    KID.
    """

    metric: ClassVar[str] = "kernel-distance"
    distance: Estimate
    real: int
    generated: int

    def rows(self) -> tuple[Row, ...]:
        """The distance."""
        return (Row(self.label, self.distance, self.protocol),)


def kernel_distance(real: Tensor, generated: Tensor, *, chunk: int = 2048) -> float:
    r"""Unbiased $\mathrm{MMD}^2$ with the kernel $(x^\top y / d + 1)^3$ (Binkowski et al. 2018, eq. 4).

    $\frac{1}{m(m-1)}\sum_{i\ne j} k(x_i, x_j) + \frac{1}{n(n-1)}\sum_{i\ne j} k(y_i, y_j)
    - \frac{2}{mn}\sum_{ij} k(x_i, y_j)$, over all pairs and not over random subsets.

    Args:
        real: (m, d), m >= 2.
        generated: (n, d), n >= 2.
        chunk: rows of the kernel matrix in memory at a time.

    >>> x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    >>> kernel_distance(x, x + 1) > 0.5
    True
    """
    return _distance(_block_sums(real, generated, groups=1, chunk=chunk))


class KernelDistance(FeatureMetric):
    """Accumulates (stores) features of real and generated objects.

    Args:
        extractor: name of the feature extractor, `kind:identity`; the kind begins the name of the number.
        groups: jackknife groups for the standard error; 1 for none.
        subset: what the objects were restricted to, part of the name of the number.
        protocol: seed and settings of the generated objects.
        level: coverage of the interval.

    >>> import torch
    >>> metric = KernelDistance(extractor="classifier:1f3a", groups=1)
    >>> metric.update(real=torch.zeros(4, 2), generated=torch.ones(3, 2))
    >>> metric.compute().distance.value > 0
    True
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
        label = labelled(f"{kind_of(extractor)}-{KernelDistanceResult.metric}", subset)
        super().__init__(label, extractor, protocol, level)
        self._groups = groups

    def compute(self) -> KernelDistanceResult:
        """The distance so far; raises `ShapeError` with fewer than two objects on a side."""
        real, generated = self._tables()
        sums = _block_sums(real, generated, groups=self._groups, chunk=2048)
        value, error = _distance(sums), _jackknife_error(sums)
        interval = normal_interval(value, error, level=self._level)
        return KernelDistanceResult(
            label=self._label,
            protocol=self._protocol_for(real, generated, kernel=KERNEL),
            distance=Estimate(value, min(len(real), len(generated)), error, interval),
            real=len(real),
            generated=len(generated),
        )


@dataclass(frozen=True)
class _BlockSums:
    """Kernel sums between groups (G, G), without the diagonal within a set, and group sizes (G,)."""

    real: Float64[Tensor, "G G"]
    generated: Float64[Tensor, "H H"]
    cross: Float64[Tensor, "G H"]
    m: Float64[Tensor, " G"]
    n: Float64[Tensor, " H"]


def _block_sums(real: Tensor, generated: Tensor, *, groups: int, chunk: int) -> _BlockSums:
    for name, features in (("real", real), ("generated", generated)):
        check_features(name, features, real.shape[1] if real.ndim == 2 else None)
        if len(features) < 2:
            raise ShapeError(f"expected at least two {name} objects, received {len(features)}")
    x, y = real.detach().double(), generated.detach().double()
    m, n = (_membership(len(side), groups).to(x.device) for side in (x, y))
    return _BlockSums(
        real=_grouped_kernel(x, x, m, m, chunk) - torch.diag(m.T @ _kernel_diagonal(x)),
        generated=_grouped_kernel(y, y, n, n, chunk) - torch.diag(n.T @ _kernel_diagonal(y)),
        cross=_grouped_kernel(x, y, m, n, chunk),
        m=m.sum(dim=0),
        n=n.sum(dim=0),
    )


def _membership(count: int, groups: int) -> Float64[Tensor, "n G"]:
    return torch.nn.functional.one_hot(torch.arange(count) % groups, groups).double()


def _kernel_diagonal(x: Float64[Tensor, "n d"]) -> Float64[Tensor, " n"]:
    return (x.square().mean(dim=1) + 1) ** 3


def _grouped_kernel(
    x: Float64[Tensor, "m d"],
    y: Float64[Tensor, "n d"],
    rows: Float64[Tensor, "m G"],
    columns: Float64[Tensor, "n G"],
    chunk: int,
) -> Float64[Tensor, "G G"]:
    sums = x.new_zeros(rows.shape[1], columns.shape[1])
    for part, member in zip(x.split(chunk), rows.split(chunk), strict=True):
        sums += member.T @ (((part @ y.T / x.shape[1] + 1) ** 3) @ columns)
    return sums


def _distance(sums: _BlockSums) -> float:
    m, n = float(sums.m.sum()), float(sums.n.sum())
    within = sums.real.sum() / (m * (m - 1)) + sums.generated.sum() / (n * (n - 1))
    return float(within - 2 * sums.cross.sum() / (m * n))


def _jackknife_error(sums: _BlockSums) -> float | None:
    """Delete-a-group jackknife, each set's groups in turn while the other set stays whole."""
    groups = len(sums.m)
    if groups < 2 or min(float(sums.m.sum() - sums.m.max()), float(sums.n.sum() - sums.n.max())) < 2:
        return None
    everything = torch.arange(groups, device=sums.m.device)
    kept = [everything[everything != g] for g in range(groups)]
    left = [_distance(_restricted(sums, part, everything)) for part in kept]
    right = [_distance(_restricted(sums, everything, part)) for part in kept]
    return math.sqrt(jackknife_variance(left) + jackknife_variance(right))


def _restricted(sums: _BlockSums, rows: Tensor, columns: Tensor) -> _BlockSums:
    return _BlockSums(
        real=sums.real[rows][:, rows],
        generated=sums.generated[columns][:, columns],
        cross=sums.cross[rows][:, columns],
        m=sums.m[rows],
        n=sums.n[columns],
    )
