"""Reliability diagrams: how often answers given with some confidence are right, and the calibration error."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from tnprior_eval.clustered import clustered_mean
from tnprior_eval.estimate import Estimate

InnerEdges = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True)
class Reliability:
    """The data of a reliability diagram: bins (edges[b], edges[b+1]] of the confidence of the top answer.

    Args:
        scheme: how the edges were chosen.
        edges: bins + 1 increasing numbers from 0 to 1.
        confidence: mean confidence per bin, NaN in an empty bin.
        accuracy: share of right answers per bin, NaN in an empty bin.
        counts: answers per bin.
        error: expected calibration error, sum_b counts_b/n |accuracy_b - confidence_b|, with delta-method
            interval.
        error_if_calibrated: what the same bins would show on average from noise alone, were every
            confidence right.
    """

    scheme: str
    edges: tuple[float, ...]
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    counts: tuple[int, ...]
    error: Estimate
    error_if_calibrated: float


def equal_width(confidence: Float64[Tensor, " m"], bins: int) -> Float64[Tensor, " inner"]:
    """Inner edges at 1/bins, 2/bins, ...: the published expected calibration error (Guo et al. 2017)."""
    return torch.arange(1, bins, dtype=torch.float64, device=confidence.device) / bins


def equal_mass(confidence: Float64[Tensor, " m"], bins: int) -> Float64[Tensor, " inner"]:
    """Inner edges at the quantiles: as many answers in each bin, up to ties, which stay together."""
    if confidence.numel() == 0:
        return equal_width(confidence, bins)
    ordered = confidence.sort().values
    ranks = (torch.arange(1, bins, device=confidence.device) * len(ordered) + bins - 1) // bins - 1
    inner: Tensor = torch.unique(ordered[ranks.clamp(min=0)])
    return inner[(inner > 0) & (inner < 1)]


def reliability(
    confidence: Float64[Tensor, "n A"],
    correct: Bool[Tensor, "n A"],
    used: Bool[Tensor, "n A"],
    inner_edges: InnerEdges,
    *,
    bins: int,
    level: float,
) -> Reliability:
    r"""Bins the used answers of all columns together.

    The error of the calibration error treats the sign of each bin's gap as known: contributions
    $\mathrm{sign}_b (\mathrm{confidence} - \mathrm{correct})$ are averaged over samples.
    From noise alone a bin with variance $v_b = \sum p(1-p)$ would show $\sqrt{2 v_b / \pi}$ on average.

    Args:
        confidence: float64 (n, A), probability of the top answer.
        correct: bool (n, A).
        used: bool (n, A).
        inner_edges: `equal_width` or `equal_mass`.
    """
    inner = inner_edges(confidence[used], bins)
    edges = torch.cat([inner.new_zeros(1), inner, inner.new_ones(1)])
    index = torch.searchsorted(inner, confidence.contiguous())
    gaps = confidence - correct.double()
    size = len(edges) - 1

    def binned(values: Float64[Tensor, "n A"]) -> Float64[Tensor, " bins"]:
        return torch.bincount(index[used], weights=values[used], minlength=size).double()  # int64 when empty

    counts = torch.bincount(index[used], minlength=size)
    signs = torch.sign(binned(gaps))
    noise = binned(confidence * (1 - confidence)).mul(2 / math.pi).sqrt().sum()
    return Reliability(
        scheme=f"{inner_edges.__name__.replace('_', ' ')}, {bins} bins",
        edges=tuple(edges.tolist()),
        confidence=tuple((binned(confidence) / counts).tolist()),
        accuracy=tuple((binned(correct.double()) / counts).tolist()),
        counts=tuple(counts.tolist()),
        error=clustered_mean(gaps * signs[index], used, level=level, low=0.0, high=1.0),
        error_if_calibrated=float(noise / counts.sum()),
    )
