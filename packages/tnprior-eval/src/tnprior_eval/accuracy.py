"""Share of right answers: per attribute, over all pairs, and the mean over attributes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from tnprior_eval.checks import check_codes, check_mask, check_names, check_same_length
from tnprior_eval.errors import ShapeError
from tnprior_eval.estimate import Estimate
from tnprior_eval.pair_counts import PairCounts
from tnprior_eval.protocol import Protocol
from tnprior_eval.result import Result, Row


@dataclass(frozen=True, kw_only=True)
class AccuracyResult(Result):
    """Accuracy in [0, 1].

    Args:
        overall: over all pairs that have a truth; `n` counts pairs, the interval allows for their dependence.
        mean: unweighted mean over the attributes (the "mean of ten" of the papers).
        attributes: one estimate per name, Wilson intervals.
        samples: number of samples with at least one pair.
    """

    metric: ClassVar[str] = "accuracy"
    overall: Estimate
    mean: Estimate
    attributes: dict[str, Estimate]
    samples: int

    def rows(self) -> tuple[Row, ...]:
        """Overall, mean over attributes, each attribute; only the last for a single attribute."""
        each = tuple(
            Row(f"{self.label}/{name}", item, self.protocol) for name, item in self.attributes.items()
        )
        head = Row(self.label, self.overall, self.protocol)
        if len(each) == 1:
            return (head,)
        return (head, Row(f"{self.label}/mean", self.mean, self.protocol), *each)


class Accuracy:
    """Accumulates answers against truths.

    Args:
        names: the A attribute names.
        label: name of the number in a report, such as `imputation-accuracy`.
        protocol: how the answers came about.
        level: coverage of the intervals.

    >>> import torch
    >>> metric = Accuracy(["digit"])
    >>> metric.update(torch.tensor([[3], [4]]), torch.tensor([[3], [5]]), torch.tensor([[True], [True]]))
    >>> metric.compute().overall.value
    0.5
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        label: str = "accuracy",
        protocol: Protocol | None = None,
        level: float = 0.95,
    ) -> None:
        self.names = check_names(names)
        self._label, self._protocol, self._level = label, protocol or Protocol(), level
        self._counts = PairCounts(len(self.names))

    def update(self, answers: Tensor, codes: Tensor, observed: Tensor) -> None:
        """Adds samples.

        Args:
            answers: integer codes (n, A).
            codes: true integer codes (n, A); ignored where not observed.
            observed: bool (n, A), where there is a truth.

        Raises:
            ShapeError: when shapes or types differ from these.
        """
        size = len(self.names)
        check_codes("answers", answers, size)
        check_codes("codes", codes, size)
        check_mask("observed", observed, size)
        check_same_length(answers=answers, codes=codes, observed=observed)
        self._counts.update(answers == codes, observed)

    def merge(self, other: "Accuracy") -> None:
        """Adds what another accumulator of the same attributes has seen."""
        if other.names != self.names:
            raise ShapeError(f"expected counts of {self.names}, received counts of {other.names}")
        self._counts.merge(other._counts)

    def compute(self) -> AccuracyResult:
        """The accuracies so far; NaN with interval [0, 1] where nothing was asked."""
        counts, level = self._counts, self._level
        return AccuracyResult(
            label=self._label,
            protocol=self._protocol,
            overall=counts.pooled(level=level),
            mean=counts.macro(level=level),
            attributes={name: counts.single(a, level=level) for a, name in enumerate(self.names)},
            samples=counts.samples,
        )


def accuracy(
    answers: Tensor,
    codes: Tensor,
    observed: Tensor,
    names: Sequence[str],
    *,
    label: str = "accuracy",
    protocol: Protocol | None = None,
    level: float = 0.95,
) -> AccuracyResult:
    """Accuracy of one table of answers; arguments as in `Accuracy` and `Accuracy.update`.

    >>> import torch
    >>> asked = torch.ones(4, 1, dtype=torch.bool)
    >>> accuracy(torch.zeros(4, 1).long(), torch.zeros(4, 1).long(), asked, ["hat"]).overall.value
    1.0
    """
    metric = Accuracy(names, label=label, protocol=protocol, level=level)
    metric.update(answers, codes, observed)
    return metric.compute()
