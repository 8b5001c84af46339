"""Hits among the (sample, attribute) pairs that count, with what honest intervals of their shares need.

Answers to several attributes of one sample depend on each other, so pairs are not independent trials.
Whole-number second moments per sample (three A x A tables) give the right standard error of every pooled
share, and do so exactly: no order of samples and no split into batches changes a bit.
"""

import math

import torch
from torch import Tensor

from tnprior_eval.checks import check_mask, check_same_length
from tnprior_eval.errors import ShapeError
from tnprior_eval.estimate import Estimate, Interval, proportion, wilson_interval

CLUSTERED = "wilson, effective n (attributes of a sample depend on each other)"


class PairCounts:
    """Accumulates which of the asked pairs were hits.

    Args:
        size: number A of attributes.

    >>> counts = PairCounts(2)
    >>> counts.update(torch.tensor([[True, False]]), torch.tensor([[True, True]]))
    >>> counts.pooled(level=0.95).value
    0.5
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.samples = 0
        self._hit_hit = torch.zeros(size, size, dtype=torch.int64, device="cpu")
        self._hit_asked = torch.zeros(size, size, dtype=torch.int64, device="cpu")
        self._asked_asked = torch.zeros(size, size, dtype=torch.int64, device="cpu")

    def update(self, hits: Tensor, asked: Tensor) -> None:
        """Adds samples.

        Args:
            hits: bool (n, A); ignored where not asked.
            asked: bool (n, A).
        """
        check_mask("hits", hits, self.size)
        check_mask("asked", asked, self.size)
        check_same_length(hits=hits, asked=asked)
        m = asked.detach().cpu().double()
        c = hits.detach().cpu().double() * m
        self._hit_hit += _whole(c.T @ c)
        self._hit_asked += _whole(c.T @ m)
        self._asked_asked += _whole(m.T @ m)
        self.samples += int(asked.any(dim=1).sum())

    def merge(self, other: "PairCounts") -> None:
        """Adds the counts of another accumulator, for instance of another process."""
        if other.size != self.size:
            raise ShapeError(f"expected counts of {self.size} attributes, received counts of {other.size}")
        self.samples += other.samples
        self._hit_hit += other._hit_hit
        self._hit_asked += other._hit_asked
        self._asked_asked += other._asked_asked

    @property
    def asked(self) -> list[int]:
        """Number of asked pairs of each attribute."""
        return [int(count) for count in self._asked_asked.diagonal()]

    def single(self, column: int, *, level: float) -> Estimate:
        """Share of hits of one attribute: independent trials, Wilson interval."""
        hits, n = self._hit_hit[column, column], self._asked_asked[column, column]
        return proportion(int(hits), int(n), level=level)

    def pooled(self, *, level: float) -> Estimate:
        """Share of hits among all pairs, every pair counting the same."""
        total = sum(self.asked)
        if total == 0:
            return proportion(0, 0, level=level)
        hits = int(self._hit_hit.diagonal().sum())
        if total == self.samples:
            return proportion(hits, total, level=level)
        share = hits / total
        ones = torch.ones(self.size, dtype=torch.float64, device="cpu")
        error = self._standard_error(ones * share, ones / total)
        return Estimate(share, total, error, self._effective_wilson(share, error, total, level))

    def macro(self, *, level: float) -> Estimate:
        """Mean of the attributes' shares, every attribute that was asked at all counting the same."""
        asked = self._asked_asked.diagonal().double()
        used = asked > 0
        if not bool(used.any()):
            return proportion(0, 0, level=level)
        shares = torch.where(used, self._hit_hit.diagonal() / asked.clamp(min=1), 0.0)
        value = math.fsum(shares.tolist()) / int(used.sum())
        weights = torch.where(used, 1 / asked.clamp(min=1) / used.sum(), 0.0)
        error, total = self._standard_error(shares, weights), sum(self.asked)
        return Estimate(value, total, error, self._effective_wilson(value, error, total, level))

    def _standard_error(self, shares: Tensor, weights: Tensor) -> float | None:
        """Linearised error of `sum_ia w_a (c_ia - p_a m_ia)`, samples i independent (ratio estimator)."""
        if self.samples < 2:
            return None
        cross = self._hit_asked.double() * shares
        residual = self._hit_hit - cross - cross.T + torch.outer(shares, shares) * self._asked_asked
        variance = float(weights @ residual @ weights) * self.samples / (self.samples - 1)
        return math.sqrt(max(variance, 0.0))

    def _effective_wilson(self, share: float, error: float | None, total: int, level: float) -> Interval:
        """Wilson interval with the number of independent trials that would have this standard error."""
        if error is None or error <= 1e-12:
            effective = float(self.samples)
        else:
            effective = min(share * (1 - share) / error**2, float(total))
        return wilson_interval(share, effective, level=level, method=CLUSTERED)


def _whole(counts: Tensor) -> Tensor:
    return counts.round().to(torch.int64)
