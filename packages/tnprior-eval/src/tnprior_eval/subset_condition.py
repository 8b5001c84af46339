"""Objects generated for one condition on a few attributes: do they show it, and do they vary otherwise?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tnprior_eval.checks import check_codes, check_features, check_names
from tnprior_eval.diversity import Diversity, DiversityResult
from tnprior_eval.errors import ShapeError
from tnprior_eval.estimate import Estimate, proportion
from tnprior_eval.pair_counts import PairCounts
from tnprior_eval.protocol import Protocol
from tnprior_eval.result import Result, Row
from tnprior_eval.vendi_score import KERNEL, vendi_estimate
from tnprior_eval.violation import broken_requests


@dataclass(frozen=True, kw_only=True)
class SubsetConditionResult(Result):
    """What became of one condition.

    Args:
        log_probability: log p(condition) in nats, as the model has it, if it does.
        hits: share of the requested (object, attribute) pairs that the classifier confirms.
        all_hits: share of the objects in which it confirms every request.
        free: entropies of the answers on the attributes that were left free, beside the model's own;
            `None` where nothing was left free.
        different: Vendi score of the objects' features, attributes or not; `None` where no centre was given.
    """

    metric: ClassVar[str] = "subset-condition"
    log_probability: float | None
    hits: Estimate
    all_hits: Estimate
    free: DiversityResult | None
    different: Estimate | None = None

    def rows(self) -> tuple[Row, ...]:
        """log p(condition), hits, all hits, mean entropy of a free attribute and the model's own, Vendi score."""
        numbers = {"hits": self.hits, "all-hits": self.all_hits}
        if self.log_probability is not None and math.isfinite(self.log_probability):
            numbers = {"log-p": Estimate(self.log_probability, 1, unit="nats"), **numbers}
        if self.free is not None:
            numbers["entropy"] = self.free.mean
            if self.free.mean_model is not None:
                numbers["entropy/model"] = Estimate(self.free.mean_model, self.free.mean.n, unit="nats")
        rows = [Row(f"{self.label}/{name}", item, self.protocol) for name, item in numbers.items()]
        if self.different is not None:
            rows.append(Row(f"{self.label}/vendi-score", self.different, self.protocol.having(kernel=KERNEL)))
        return tuple(rows)


class SubsetCondition:
    """Accumulates a classifier's answers on objects generated for one condition.

    Args:
        names: the A attributes.
        label_counts: number of labels C_a of each.
        allowed: for each attribute the bool (C_a,) table of codes that satisfy the condition, `None` where
            the attribute is free.
        log_probability: log p(condition) in nats, if the model knows it.
        model: the model's own conditional entropies of free attributes, in nats, by name.
        centre: mean of real objects' features (d,), about which the Vendi score of the generated ones is taken.
        label: prefix of the numbers in a report.
        protocol: the condition, the classifier, the seed.
        level: coverage of the intervals.

    >>> hat = torch.tensor([False, True])
    >>> metric = SubsetCondition(["hat", "male"], [2, 2], [hat, None], label="condition/hat=1")
    >>> metric.update(torch.tensor([[1, 0], [1, 1], [0, 1], [1, 0]]))
    >>> result = metric.compute()
    >>> result.hits.value, round(result.free.attributes["male"].plug_in, 3)
    (0.75, 0.693)
    """

    def __init__(
        self,
        names: Sequence[str],
        label_counts: Sequence[int],
        allowed: Sequence[Tensor | None],
        *,
        log_probability: float | None = None,
        model: Mapping[str, float] | None = None,
        centre: Tensor | None = None,
        label: str = "condition",
        protocol: Protocol | None = None,
        level: float = 0.95,
    ) -> None:
        self.names = check_names(names)
        if not len(label_counts) == len(allowed) == len(self.names):
            raise ShapeError(
                f"expected a label count and a table or None for each of {self.names}, received "
                f"{len(label_counts)} and {len(allowed)}"
            )
        self._allowed, self._log_probability = tuple(allowed), log_probability
        self._label, self._protocol, self._level = label, protocol or Protocol(), level
        self._free = [a for a, table in enumerate(allowed) if table is None]
        self._counts, self._objects, self._all = PairCounts(len(self.names)), 0, 0
        self._diversity = self._measure_of_free(label_counts, model) if self._free else None
        self._centre = centre
        self._features: list[Tensor] = []

    def update(self, answers: Tensor, features: Tensor | None = None) -> None:
        """Adds integer codes (n, A) and, where a centre was given, features (n, d) of the same objects.

        Raises:
            ShapeError: for other shapes and codes, and for features without a centre or a centre without features.
        """
        check_codes("answers", answers, len(self.names))
        self._keep(features, len(answers))
        violated, requested = broken_requests(answers.cpu(), self._allowed)
        self._counts.update(~violated, requested)
        self._objects += len(answers)
        self._all += int((~violated | ~requested).all(dim=1).sum())
        if self._diversity is not None:
            self._diversity.update(answers[:, self._free])

    def compute(self) -> SubsetConditionResult:
        """The numbers so far; NaN before the first answer."""
        return SubsetConditionResult(
            label=self._label,
            protocol=self._protocol,
            log_probability=self._log_probability,
            hits=self._counts.pooled(level=self._level),
            all_hits=proportion(self._all, self._objects, level=self._level),
            free=None if self._diversity is None else self._diversity.compute(),
            different=self._different(),
        )

    def _keep(self, features: Tensor | None, n: int) -> None:
        if self._centre is None and features is None:
            return
        if self._centre is None or features is None:
            given = "features" if self._centre is None else "a centre"
            raise ShapeError(
                f"expected features and the centre they are held against, received {given} alone"
            )
        check_features("features", features, len(self._centre))
        if len(features) != n:
            raise ShapeError(
                f"expected features of {n} objects, as there are answers, received {len(features)}"
            )
        self._features.append(features.detach().cpu())

    def _different(self) -> Estimate | None:
        if self._centre is None or not sum(map(len, self._features)):
            return None
        return vendi_estimate(torch.cat(self._features), self._centre, level=self._level)

    def _measure_of_free(self, label_counts: Sequence[int], model: Mapping[str, float] | None) -> Diversity:
        return Diversity(
            [self.names[a] for a in self._free],
            [label_counts[a] for a in self._free],
            model=model,
            label=f"{self._label}/free",
            protocol=self._protocol,
            level=self._level,
        )
