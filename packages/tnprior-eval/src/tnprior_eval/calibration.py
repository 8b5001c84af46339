"""Are predicted probabilities right? Calibration error, Brier score, negative log-likelihood."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float64, Int
from torch import Tensor

from tnprior_eval.checks import check_code_range, check_codes, check_mask, check_names
from tnprior_eval.clustered import clustered_mean
from tnprior_eval.errors import ShapeError
from tnprior_eval.estimate import Estimate
from tnprior_eval.protocol import Protocol
from tnprior_eval.reliability import Reliability, equal_mass, equal_width, reliability
from tnprior_eval.result import Result, Row


@dataclass(frozen=True)
class CalibrationScores:
    """Scores of one attribute, or of all pairs together.

    Args:
        width: reliability of the top answer in bins of equal width; its `error` is the usual ECE.
        mass: the same in bins of equal counts.
        brier: mean of sum_c (p_c - 1[y = c])^2, between 0 and 2 (for two classes twice the one-column score).
        nll: mean negative log-likelihood of the truth, in nats; infinite when a truth had probability 0.
    """

    width: Reliability
    mass: Reliability
    brier: Estimate
    nll: Estimate


@dataclass(frozen=True, kw_only=True)
class CalibrationResult(Result):
    """Calibration of predicted attribute probabilities: all pairs together, and each attribute."""

    metric: ClassVar[str] = "calibration"
    overall: CalibrationScores
    attributes: dict[str, CalibrationScores]

    def rows(self) -> tuple[Row, ...]:
        """Both calibration errors, Brier score, negative log-likelihood; the usual error per attribute."""
        scores = self.overall
        numbers = {
            f"{self.label}/ece": scores.width.error,
            f"{self.label}/ece-equal-mass": scores.mass.error,
            f"{self.label}/brier": scores.brier,
            f"{self.label}/nll": scores.nll,
        }
        if len(self.attributes) > 1:
            numbers |= {
                f"{self.label}/ece/{name}": item.width.error for name, item in self.attributes.items()
            }
        return tuple(Row(name, item, self.protocol) for name, item in numbers.items())


class _Pairs(NamedTuple):
    confidence: Float64[Tensor, "n A"]
    correct: Bool[Tensor, "n A"]
    brier: Float64[Tensor, "n A"]
    nll: Float64[Tensor, "n A"]
    used: Bool[Tensor, "n A"]

    def columns(self, columns: slice) -> "_Pairs":
        return _Pairs._make(table[:, columns] for table in self)


class Calibration:
    """Accumulates predicted probabilities against truths.

    Args:
        names: the A attribute names.
        bins: number of bins of the reliability diagrams.
        label: prefix of the numbers in a report.
        protocol: how the probabilities came about; the conventions are added to its settings.
        level: coverage of the intervals.

    >>> metric = Calibration(["hat"], bins=10)
    >>> sure = torch.tensor([[0.1, 0.9]]).expand(10, 2)
    >>> metric.update([sure], torch.tensor([[1]] * 9 + [[0]]), torch.ones(10, 1, dtype=torch.bool))
    >>> round(metric.compute().overall.width.error.value, 6)
    0.0
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        bins: int = 15,
        label: str = "calibration",
        protocol: Protocol | None = None,
        level: float = 0.95,
    ) -> None:
        self.names = check_names(names)
        if bins < 1:
            raise ShapeError(f"expected at least one bin, received {bins}")
        self._label, self._bins, self._level = label, bins, level
        self._protocol = protocol or Protocol()
        self._batches: list[_Pairs] = []

    def update(self, probabilities: Sequence[Tensor], codes: Tensor, observed: Tensor) -> None:
        """Adds samples.

        Args:
            probabilities: for each attribute float (n, C_a), rows summing to one.
            codes: true integer codes (n, A); ignored where not observed.
            observed: bool (n, A), where there is a truth.

        Raises:
            ShapeError: when shapes or types differ from these, or where rows are no probabilities.
        """
        size = len(self.names)
        check_codes("codes", codes, size)
        check_mask("observed", observed, size)
        if len(probabilities) != size:
            raise ShapeError(f"expected probabilities of {size} attributes, received {len(probabilities)}")
        for name, table in zip(self.names, probabilities, strict=True):
            _check_probabilities(name, table, len(codes))
        check_code_range("codes", codes, observed, [table.shape[1] for table in probabilities])
        codes, observed = codes.cpu().long(), observed.cpu()
        columns = [_scores(p.detach().cpu().double(), codes[:, a]) for a, p in enumerate(probabilities)]
        tables = (torch.stack(column, dim=1) for column in zip(*columns, strict=True))
        self._batches.append(_Pairs._make([*tables, observed]))

    def merge(self, other: "Calibration") -> None:
        """Adds what another accumulator of the same attributes has seen."""
        if other.names != self.names:
            raise ShapeError(f"expected scores of {self.names}, received scores of {other.names}")
        self._batches.extend(other._batches)

    def compute(self) -> CalibrationResult:
        """The scores so far.

        Raises:
            ShapeError: before the first `update`.
        """
        if not self._batches:
            raise ShapeError("expected at least one update before compute, received none")
        pairs = _Pairs._make(torch.cat(tables) for tables in zip(*self._batches, strict=True))
        each = {name: self._score(pairs.columns(slice(a, a + 1))) for a, name in enumerate(self.names)}
        protocol = self._protocol.having(
            bins=self._bins, confidence="top answer", brier="sum over classes, 0 to 2", nll="nats"
        )
        return CalibrationResult(
            label=self._label, protocol=protocol, overall=self._score(pairs), attributes=each
        )

    def _score(self, pairs: _Pairs) -> CalibrationScores:
        table = (pairs.confidence, pairs.correct, pairs.used)
        return CalibrationScores(
            width=reliability(*table, equal_width, bins=self._bins, level=self._level),
            mass=reliability(*table, equal_mass, bins=self._bins, level=self._level),
            brier=clustered_mean(pairs.brier, pairs.used, level=self._level, low=0.0, high=2.0),
            nll=clustered_mean(pairs.nll, pairs.used, level=self._level, low=0.0, unit="nats"),
        )


def _check_probabilities(name: str, table: Tensor, n: int) -> None:
    if table.ndim != 2 or len(table) != n or not table.dtype.is_floating_point:
        raise ShapeError(
            f"expected probabilities of {name!r} as floats of shape ({n}, C), "
            f"received {table.dtype} {tuple(table.shape)}"
        )
    off = (table.double().sum(dim=1) - 1).abs()
    if not bool((off < 1e-3).all() & (table >= 0).all()):
        raise ShapeError(f"expected probabilities of {name!r} to be non-negative and to sum to 1 in each row")


def _scores(p: Float64[Tensor, "n C"], codes: Int[Tensor, " n"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Confidence, correctness, Brier score and negative log-likelihood of each row."""
    top = p.max(dim=1)
    safe = codes.clamp(0, p.shape[1] - 1)
    truth = p.gather(1, safe[:, None])[:, 0]
    brier = p.square().sum(dim=1) - 2 * truth + 1
    return top.values.clamp(max=1.0), top.indices == codes, brier, -truth.clamp(max=1.0).log()
