"""How often a generated object does not show what was asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor

from tnprior_eval.checks import check_codes, check_mask, check_names, check_same_length
from tnprior_eval.errors import ShapeError
from tnprior_eval.estimate import Estimate, proportion
from tnprior_eval.pair_counts import PairCounts
from tnprior_eval.protocol import Protocol
from tnprior_eval.result import Result, Row


@dataclass(frozen=True)
class GivenCount:
    """Violations among samples with exactly `given` requests: share of pairs, of samples, of each attribute's pairs."""

    given: int
    pairs: Estimate
    any_violated: Estimate
    attributes: dict[str, Estimate]


@dataclass(frozen=True, kw_only=True)
class ViolationResult(Result):
    """Condition-violation rates in [0, 1] (lower is better).

    Args:
        overall: share of requested (sample, attribute) pairs that the classifier does not confirm.
        any_violated: share of samples, with at least one request, in which any request is violated.
        attributes: the share of pairs of each attribute.
        by_given: the same rates by the number of requested attributes.
    """

    metric: ClassVar[str] = "condition-violation"
    overall: Estimate
    any_violated: Estimate
    attributes: dict[str, Estimate]
    by_given: tuple[GivenCount, ...]

    def rows(self) -> tuple[Row, ...]:
        """Pairs, samples, each attribute, then pairs and samples by the number of requested attributes."""
        numbers = {self.label: self.overall, f"{self.label}/any": self.any_violated}
        if len(self.attributes) > 1:
            numbers |= {f"{self.label}/{name}": item for name, item in self.attributes.items()}
        if len(self.by_given) > 1:
            numbers |= {f"{self.label}/given={count.given}": count.pairs for count in self.by_given}
            numbers |= {
                f"{self.label}/given={count.given}/any": count.any_violated for count in self.by_given
            }
        return tuple(Row(name, item, self.protocol) for name, item in numbers.items())


def broken_requests(
    answers: Tensor, allowed: Sequence[Tensor | None]
) -> tuple[Bool[Tensor, "n A"], Bool[Tensor, "n A"]]:
    """Violations of sets and negations, as (violated, requested) for `ConditionViolation.update`.

    Args:
        answers: integer codes (n, A).
        allowed: for each attribute the bool (C,) or (n, C) table of codes that satisfy the request,
            `None` where nothing is requested.

    Returns:
        two bool tensors (n, A).

    >>> answers = torch.tensor([[3, 0], [7, 1]])
    >>> three_or_five = torch.tensor([code in (3, 5) for code in range(10)])
    >>> broken_requests(answers, [three_or_five, None])[0].tolist()
    [[False, False], [True, False]]
    """
    check_codes("answers", answers, len(allowed))
    violated = torch.zeros_like(answers, dtype=torch.bool)
    requested = torch.zeros_like(violated)
    for a, table in enumerate(allowed):
        if table is not None:
            rows = table.to(answers.device).expand(len(answers), table.shape[-1])
            violated[:, a] = ~rows.gather(1, answers[:, a : a + 1])[:, 0]
            requested[:, a] = True
    return violated, requested


class ConditionViolation:
    """Accumulates which requests were violated.

    Args:
        names: the A attribute names.
        label: name of the number in a report.
        protocol: how the answers came about (classifier, seed).
        level: coverage of the intervals.

    >>> metric = ConditionViolation(["male", "hat"])
    >>> metric.update(torch.tensor([[False, True]]), torch.tensor([[True, True]]))
    >>> metric.compute().overall.value, metric.compute().any_violated.value
    (0.5, 1.0)
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        label: str = "condition-violation",
        protocol: Protocol | None = None,
        level: float = 0.95,
    ) -> None:
        self.names = check_names(names)
        size = len(self.names)
        self._label, self._protocol, self._level = label, protocol or Protocol(), level
        self._counts = [PairCounts(size) for _ in range(size + 1)]
        self._any = [0] * (size + 1)

    def update(self, violated: Tensor, requested: Tensor) -> None:
        """Adds samples.

        Args:
            violated: bool (n, A), `answers != codes` for exact requests, see `broken_requests` for sets;
                ignored where nothing was requested.
            requested: bool (n, A).

        Raises:
            ShapeError: when shapes or types differ from these.
        """
        check_mask("violated", violated, len(self.names))
        check_mask("requested", requested, len(self.names))
        check_same_length(violated=violated, requested=requested)
        violated, requested = violated.cpu(), requested.cpu()
        broken = (violated & requested).any(dim=1)
        given = requested.sum(dim=1)
        for count in given.unique().tolist():
            here = given == count
            self._counts[count].update(violated[here], requested[here])
            self._any[count] += int(broken[here].sum())

    def merge(self, other: "ConditionViolation") -> None:
        """Adds what another accumulator of the same attributes has seen."""
        if other.names != self.names:
            raise ShapeError(f"expected counts of {self.names}, received counts of {other.names}")
        for mine, theirs in zip(self._counts, other._counts, strict=True):
            mine.merge(theirs)
        self._any = [a + b for a, b in zip(self._any, other._any, strict=True)]

    def compute(self) -> ViolationResult:
        """The rates so far; NaN with interval [0, 1] where nothing was requested."""
        level, total = self._level, PairCounts(len(self.names))
        for counts in self._counts:
            total.merge(counts)
        return ViolationResult(
            label=self._label,
            protocol=self._protocol,
            overall=total.pooled(level=level),
            any_violated=proportion(sum(self._any), total.samples, level=level),
            attributes={name: total.single(a, level=level) for a, name in enumerate(self.names)},
            by_given=tuple(
                self._given(count) for count in range(1, len(self._counts)) if self._counts[count].samples
            ),
        )

    def _given(self, count: int) -> GivenCount:
        counts = self._counts[count]
        broken = proportion(self._any[count], counts.samples, level=self._level)
        each = {name: counts.single(a, level=self._level) for a, name in enumerate(self.names)}
        return GivenCount(count, counts.pooled(level=self._level), broken, each)


def condition_violation(
    answers: Tensor,
    codes: Tensor,
    requested: Tensor,
    names: Sequence[str],
    *,
    protocol: Protocol | None = None,
    level: float = 0.95,
) -> ViolationResult:
    """Violation rates of exact requests in one table.

    Args:
        answers: integer codes (n, A) that the classifier gives to the generated objects.
        codes: requested integer codes (n, A); ignored where not requested.
        requested: bool (n, A).
        names, protocol, level: as in `ConditionViolation`.

    >>> import torch
    >>> asked = torch.ones(4, 1, dtype=torch.bool)
    >>> answers, wanted = torch.tensor([[0], [0], [0], [1]]), torch.zeros(4, 1, dtype=torch.int64)
    >>> condition_violation(answers, wanted, asked, ["hat"]).overall.value
    0.25
    """
    check_codes("answers", answers, len(names))
    check_codes("codes", codes, len(names))
    check_same_length(answers=answers, codes=codes)
    metric = ConditionViolation(names, protocol=protocol, level=level)
    metric.update(answers != codes, requested)
    return metric.compute()
