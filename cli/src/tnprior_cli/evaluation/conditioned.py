"""Conditions on a few attributes: are they met, and do the other attributes vary as the model says?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from tnprior_cli.conditions import Evidence, evidence_of, requested_codes
from tnprior_cli.evaluation.likeness import compared_rows
from tnprior_cli.evaluation.own import own_entropies
from tnprior_cli.evaluation.subject import PIECE, Subject
from tnprior_cli.evaluation.subsets import Subset, chosen_subsets
from tnprior_cli.given import Condition, describe
from tnprior_cli.pieces import pieces
from tnprior_eval import Classifier, Judgement, Protocol, SubsetCondition, SubsetConditionResult, quantize

SHOWN = 12


@dataclass(frozen=True)
class ConditionedSamples:
    """What came of a condition: the numbers, and the first objects (n, C, H, W), uint8."""

    subset: Subset
    result: SubsetConditionResult
    shown: Tensor


def conditioned_samples(
    subject: Subject, classifier: Classifier, real: Judgement
) -> list[ConditionedSamples]:
    """Generates and judges objects for the user's conditions, or for those that the data suggest.

    Args:
        subject: the run.
        classifier: the judge.
        real: what the judge makes of all test images.
    """
    subsets = chosen_subsets(subject.effort.conditions, subject.run.objects.schema(), subject.train.table)
    centre = real.features[compared_rows(subject)].double().mean(dim=0)
    return [_measured(subject, classifier, subset, centre) for subset in subsets]


def _measured(subject: Subject, classifier: Classifier, subset: Subset, centre: Tensor) -> ConditionedSamples:
    schema = subject.run.objects.schema()
    evidence, text = evidence_of(subset.condition, schema), describe(subset.condition)
    allowed = _allowed(subset.condition, subject)
    free = [name for name, table in zip(subject.names, allowed, strict=True) if table is None]
    protocol = Protocol(extractor=classifier.extractor, seed=subject.effort.seed)
    drawn = _drawn(subject, evidence)
    log_probability, shown = next(drawn)
    metric = SubsetCondition(
        subject.names,
        subject.label_counts,
        allowed,
        log_probability=log_probability,
        model=own_entropies(subject.model, evidence, free),
        centre=centre,
        label=f"condition/{text}",
        protocol=protocol.having(given=text, **subject.drawn_so),
    )
    for x in chain([shown], (x for _, x in drawn)):
        judged = classifier.judge(x)
        metric.update(judged.answers, judged.features)
    return ConditionedSamples(subset, metric.compute(), shown[:SHOWN])


def _drawn(subject: Subject, evidence: Evidence) -> Iterator[tuple[float, Tensor]]:
    """log p(condition) and objects, piece by piece."""
    for first, count in pieces(subject.effort.generated, PIECE):
        with torch.no_grad():
            sampled = subject.on_request.sample(count, given=evidence, seed=subject.effort.seed, first=first)
        yield float(sampled.log_evidence), quantize(sampled.x).cpu()


def _allowed(condition: Condition, subject: Subject) -> Sequence[Tensor | None]:
    """For each attribute the codes that satisfy the condition, (C_a,), or None where it is free."""
    requested = requested_codes(condition, subject.run.objects.schema())
    return [
        torch.tensor([label in requested[item.name] for label in item.labels])
        if item.name in requested
        else None
        for item in subject.run.objects.attributes
    ]
