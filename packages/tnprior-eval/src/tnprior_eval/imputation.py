"""Filled-in attributes against held-out labels: accuracy beside the majority class, and calibration."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Int64
from torch import Tensor

from tnprior_eval.accuracy import Accuracy, AccuracyResult
from tnprior_eval.calibration import Calibration, CalibrationResult
from tnprior_eval.checks import check_code_range, check_codes, check_mask, check_names, check_same_length
from tnprior_eval.errors import ShapeError
from tnprior_eval.protocol import Protocol
from tnprior_eval.result import Result, Row


@dataclass(frozen=True, kw_only=True)
class ImputationResult(Result):
    """Accuracy of the most probable value, that of the commonest label, and calibration."""

    metric: ClassVar[str] = "imputation"
    accuracy: AccuracyResult
    majority: AccuracyResult
    calibration: CalibrationResult

    def rows(self) -> tuple[Row, ...]:
        """Accuracies, each followed by its majority-class baseline; then calibration."""
        pairs = zip(self.accuracy.rows(), self.majority.rows(), strict=True)
        return tuple(row for pair in pairs for row in pair) + self.calibration.rows()


def majority_codes(codes: Tensor, observed: Tensor, label_counts: Sequence[int]) -> Int64[Tensor, " A"]:
    """The commonest observed code of each attribute in the *training* table; the lowest one of equals.

    Args:
        codes: integer codes (n, A).
        observed: bool (n, A).
        label_counts: number of labels C_a of each attribute.

    Returns:
        int64 (A,).

    >>> majority_codes(torch.tensor([[1], [1], [0]]), torch.tensor([[True], [True], [True]]), [2])
    tensor([1])
    """
    check_codes("codes", codes, len(label_counts))
    check_mask("observed", observed, len(label_counts))
    check_same_length(codes=codes, observed=observed)
    check_code_range("codes", codes, observed, label_counts)
    counts = [
        torch.bincount(codes[observed[:, a], a], minlength=labels).argmax()
        for a, labels in enumerate(label_counts)
    ]
    return torch.stack(counts).cpu()


class Imputation:
    """Accumulates predicted attribute probabilities against held-out labels.

    Args:
        names: the A attribute names.
        majority: int64 (A,), `majority_codes` of the training table.
        bins: bins of the reliability diagrams.
        label: prefix of the numbers in a report.
        protocol: how the probabilities came about.
        level: coverage of the intervals.

    >>> metric = Imputation(["hat"], majority=torch.tensor([0]))
    >>> metric.update([torch.tensor([[0.2, 0.8]])], torch.tensor([[1]]), torch.tensor([[True]]))
    >>> result = metric.compute()
    >>> result.accuracy.overall.value, result.majority.overall.value
    (1.0, 0.0)
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        majority: Tensor,
        bins: int = 15,
        label: str = "imputation",
        protocol: Protocol | None = None,
        level: float = 0.95,
    ) -> None:
        self.names = check_names(names)
        if majority.shape != (len(self.names),):
            raise ShapeError(
                f"expected one majority code for each of {self.names}, received {tuple(majority.shape)}"
            )
        self._label, self._protocol, self._majority = label, protocol or Protocol(), majority.cpu()
        self._accuracy = Accuracy(names, label=f"{label}-accuracy", protocol=self._protocol, level=level)
        self._baseline = Accuracy(names, label=f"{label}-majority", protocol=self._protocol, level=level)
        self._calibration = Calibration(names, bins=bins, label=label, protocol=self._protocol, level=level)

    def update(self, probabilities: Sequence[Tensor], codes: Tensor, observed: Tensor) -> None:
        """Adds samples; arguments as in `Calibration.update`."""
        self._calibration.update(probabilities, codes, observed)
        answers = torch.stack([table.argmax(dim=1) for table in probabilities], dim=1).cpu()
        codes, observed = codes.cpu(), observed.cpu()
        self._accuracy.update(answers, codes, observed)
        self._baseline.update(self._majority.expand_as(codes), codes, observed)

    def merge(self, other: "Imputation") -> None:
        """Adds what another accumulator of the same attributes and baseline has seen."""
        if not torch.equal(self._majority, other._majority):
            raise ShapeError(
                f"expected majority codes {self._majority.tolist()}, received {other._majority.tolist()}"
            )
        self._accuracy.merge(other._accuracy)
        self._baseline.merge(other._baseline)
        self._calibration.merge(other._calibration)

    def compute(self) -> ImputationResult:
        """The numbers so far."""
        return ImputationResult(
            label=self._label,
            protocol=self._protocol,
            accuracy=self._accuracy.compute(),
            majority=self._baseline.compute(),
            calibration=self._calibration.compute(),
        )
