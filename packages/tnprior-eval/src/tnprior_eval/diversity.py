"""Do the attributes that were left free vary? Entropy of a classifier's answers on generated objects."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tnprior_eval.checks import check_code_range, check_codes, check_names
from tnprior_eval.errors import ShapeError
from tnprior_eval.estimate import Estimate, Interval, normal_interval, normal_quantile
from tnprior_eval.protocol import Protocol
from tnprior_eval.result import Result, Row


@dataclass(frozen=True)
class Entropy:
    """Entropy of answers, in nats.

    Args:
        entropy: Miller-Madow estimate with standard error and interval.
        plug_in: entropy of the observed frequencies, too low by about (states - 1) / 2n.
        states: number of different answers seen.
        coverage: Good-Turing share of the distribution that these states cover, 1 - singletons / n; well
            below 1 for joint answers means that the estimate is still too low.
        maximum: entropy of the uniform distribution.
        model: conditional entropy that the model itself claims, if given.
    """

    entropy: Estimate
    plug_in: float
    states: int
    coverage: float
    maximum: float
    model: float | None


@dataclass(frozen=True, kw_only=True)
class DiversityResult(Result):
    """Entropy of each free attribute and of all of them together.

    Args:
        joint: entropy of the tuples of answers.
        mean: mean of the entropies of the attributes; the number to compare with `mean_model`.
        mean_model: mean of the model's own entropies of the attributes, if all are known.
        attributes: entropy of each attribute.
        frequencies: share of each label of each attribute.
    """

    metric: ClassVar[str] = "diversity"
    joint: Entropy
    mean: Estimate
    mean_model: float | None
    attributes: dict[str, Entropy]
    frequencies: dict[str, tuple[float, ...]]

    def rows(self) -> tuple[Row, ...]:
        """Joint entropy, the mean over attributes (if there are several), then each attribute.

        The model's own entropy stands below each where it is known.
        """
        numbers = [("joint", self.joint.entropy, self.joint.model)]
        if len(self.attributes) > 1:
            numbers.append(("mean", self.mean, self.mean_model))
        numbers += [(name, item.entropy, item.model) for name, item in self.attributes.items()]
        return tuple(row for number in numbers for row in self._pair(*number))

    def _pair(self, name: str, entropy: Estimate, model: float | None) -> tuple[Row, ...]:
        measured = Row(f"{self.label}/{name}", entropy, self.protocol)
        if model is None:
            return (measured,)
        claimed = Estimate(model, entropy.n, unit="nats")
        return (measured, Row(f"{self.label}/{name}/model", claimed, self.protocol))


def entropy_of_counts(
    counts: Sequence[int], *, maximum: float, level: float = 0.95, model: float | None = None
) -> Entropy:
    r"""Entropy of a categorical distribution from counts.

    $\hat H = -\sum_c \hat p_c \log \hat p_c + (S-1)/2n$ with S observed states (Miller 1955), cut at the
    maximum; error $\sqrt{(\sum_c \hat p_c \log^2 \hat p_c - \hat H_0^2) / n}$ by the delta method. Where
    only one answer was ever seen, the interval is what the rest could hold: Wilson's limit for its share.

    Args:
        counts: how often each state was seen; zeros are ignored.
        maximum: entropy of the uniform distribution over all possible states, in nats.

    >>> round(entropy_of_counts([50, 50], maximum=math.log(2)).entropy.value, 4) == round(math.log(2), 4)
    True
    """
    seen = sorted(count for count in counts if count)
    n = sum(seen)
    if n == 0:
        return Entropy(Estimate(math.nan, 0, unit="nats"), math.nan, 0, math.nan, maximum, model)
    shares = [count / n for count in seen]
    plug_in = -math.fsum(p * math.log(p) for p in shares)
    value = min(maximum, plug_in + (len(seen) - 1) / (2 * n))
    spread = math.fsum(p * math.log(p) ** 2 for p in shares) - plug_in**2
    error = math.sqrt(max(spread, 0.0) / n)
    interval = _single_state(n, maximum, level) if len(seen) == 1 else None
    interval = interval or normal_interval(value, error, level=level, low=0.0, high=maximum)
    estimate = Estimate(value, n, error, interval, "nats")
    return Entropy(estimate, plug_in, len(seen), 1 - seen.count(1) / n, maximum, model)


def _single_state(n: int, maximum: float, level: float) -> Interval:
    """0 up to the entropy of a rest with the largest plausible share, spread over everything else."""
    z = normal_quantile(level)
    rest = z * z / (n + z * z)
    high = -rest * math.log(rest) - (1 - rest) * math.log1p(-rest) + rest * maximum
    return Interval(0.0, min(maximum, high), level, "wilson limit of the unseen")


class Diversity:
    """Accumulates a classifier's answers on the free attributes of generated objects.

    Args:
        names: the F free attributes.
        label_counts: number of labels C_a of each.
        model: the model's own conditional entropies in nats, by name, and of all together under `joint`.
        label: prefix of the numbers in a report.
        protocol: the condition, the classifier, the seed.
        level: coverage of the intervals.

    >>> metric = Diversity(["hat"], [2])
    >>> metric.update(torch.tensor([[0], [1], [0], [1]]))
    >>> metric.compute().attributes["hat"].states
    2
    """

    def __init__(
        self,
        names: Sequence[str],
        label_counts: Sequence[int],
        *,
        model: Mapping[str, float] | None = None,
        label: str = "diversity",
        protocol: Protocol | None = None,
        level: float = 0.95,
    ) -> None:
        self.names = check_names(names)
        if len(label_counts) != len(self.names):
            raise ShapeError(
                f"expected label counts of {len(self.names)} attributes, received {len(label_counts)}"
            )
        unknown = set(model or ()) - {"joint", *self.names}
        if unknown:
            raise ShapeError(
                f"expected entropies of {(*self.names, 'joint')}, received {sorted(unknown)} besides"
            )
        self._label_counts, self._model = tuple(label_counts), dict(model or {})
        self._label, self._protocol, self._level = label, protocol or Protocol(), level
        self._counts: Counter[tuple[int, ...]] = Counter()

    def update(self, answers: Tensor) -> None:
        """Adds integer codes (n, F); raises `ShapeError` for other shapes and codes."""
        check_codes("answers", answers, len(self.names))
        check_code_range("answers", answers, torch.ones_like(answers, dtype=torch.bool), self._label_counts)
        states, counts = answers.detach().cpu().unique(dim=0, return_counts=True)
        for state, count in zip(states.tolist(), counts.tolist(), strict=True):
            self._counts[tuple(state)] += count

    def merge(self, other: "Diversity") -> None:
        """Adds what another accumulator of the same attributes has seen."""
        if other.names != self.names:
            raise ShapeError(f"expected answers on {self.names}, received answers on {other.names}")
        self._counts.update(other._counts)

    def compute(self) -> DiversityResult:
        """The entropies so far; NaN before the first answer."""
        joint_maximum = math.fsum(math.log(count) for count in self._label_counts)
        tables = {name: self._marginal(a) for a, name in enumerate(self.names)}
        attributes = {
            name: self._entropy(name, table, math.log(len(table))) for name, table in tables.items()
        }
        n = max(1, self._counts.total())
        return DiversityResult(
            label=self._label,
            protocol=self._protocol.having(estimator="Miller-Madow"),
            joint=self._entropy("joint", list(self._counts.values()), joint_maximum),
            mean=self._mean(attributes, tables),
            mean_model=self._mean_model(),
            attributes=attributes,
            frequencies={name: tuple(count / n for count in table) for name, table in tables.items()},
        )

    def _marginal(self, column: int) -> list[int]:
        table = [0] * self._label_counts[column]
        for state, count in self._counts.items():
            table[state[column]] += count
        return table

    def _mean(self, attributes: Mapping[str, Entropy], tables: Mapping[str, Sequence[int]]) -> Estimate:
        """Mean over attributes; delta-method error, in which the answers on one object depend on each other."""
        n, size = self._counts.total(), len(self.names)
        value = math.fsum(item.entropy.value for item in attributes.values()) / size
        if n < 2:
            return Estimate(value, n, unit="nats")
        counts = list(tables.values())
        surprise = {
            state: -math.fsum(math.log(counts[a][code] / n) for a, code in enumerate(state)) / size
            for state in self._counts
        }
        centre = math.fsum(item.plug_in for item in attributes.values()) / size
        spread = math.fsum(count * (surprise[state] - centre) ** 2 for state, count in self._counts.items())
        error = math.sqrt(spread / (n - 1) / n)
        maximum = math.fsum(item.maximum for item in attributes.values()) / size
        interval = normal_interval(value, error, level=self._level, low=0.0, high=maximum)
        return Estimate(value, n, error, interval, "nats")

    def _mean_model(self) -> float | None:
        claimed = [self._model.get(name) for name in self.names]
        known = [value for value in claimed if value is not None]
        return math.fsum(known) / len(known) if len(known) == len(claimed) else None

    def _entropy(self, name: str, counts: list[int], maximum: float) -> Entropy:
        return entropy_of_counts(counts, maximum=maximum, level=self._level, model=self._model.get(name))
