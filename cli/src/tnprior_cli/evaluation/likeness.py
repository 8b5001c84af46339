"""Do freely generated objects look like real ones, and are they as varied?

As many real test objects as generated ones are compared, because every one of these numbers depends on the counts.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from tnprior_cli.build import pick_device
from tnprior_cli.evaluation.own import own_entropies
from tnprior_cli.evaluation.subject import PIECE, Subject
from tnprior_cli.pieces import pieces
from tnprior_eval import (
    Classifier,
    ClassifierFrechet,
    Diversity,
    Inception,
    InceptionFid,
    Judgement,
    KernelDistance,
    PrecisionRecall,
    Protocol,
    Result,
    VendiScore,
    quantize,
)

NEIGHBOURS = 3


def likeness(subject: Subject, classifier: Classifier, real: Judgement) -> list[Result]:
    """Fréchet and kernel distance, Vendi score, precision and recall, diversity: one pass of the judge for all.

    Args:
        subject: the run.
        classifier: the judge.
        real: what the judge makes of all test images.
    """
    rows, protocol = compared_rows(subject), _protocol(subject)
    extractor = classifier.extractor
    distance = ClassifierFrechet(extractor=extractor, protocol=protocol)
    pairwise: list[KernelDistance | PrecisionRecall | VendiScore] = [
        KernelDistance(extractor=extractor, protocol=protocol),
        VendiScore(extractor=extractor, protocol=protocol),
    ]
    if len(rows) > NEIGHBOURS:
        pairwise.append(PrecisionRecall(extractor=extractor, neighbours=NEIGHBOURS, protocol=protocol))
    diversity = _diversity(subject, extractor)
    for metric in (distance, *pairwise):
        metric.update(real=real.features[rows])
    for x in _free(subject, len(rows)):
        judged = classifier.judge(x)
        for metric in (distance, *pairwise):
            metric.update(generated=judged.features)
        diversity.update(judged.answers)
    return [distance.compute(), *(metric.compute() for metric in pairwise), diversity.compute()]


def inception_distance(subject: Subject, weights: str) -> Result:
    """The FID of freely generated objects against as many test objects."""
    inception = Inception.load(
        None if weights == "download" else Path(weights),
        download=weights == "download",
        device=str(pick_device(subject.device)),
    )
    rows = compared_rows(subject)
    metric = InceptionFid(inception, protocol=_protocol(subject))
    for x in subject.test.x[rows].split(PIECE):
        metric.update(real=inception.features(x).cpu())
    for x in _free(subject, len(rows)):
        metric.update(generated=inception.features(x).cpu())
    return metric.compute()


def compared_rows(subject: Subject) -> Tensor:
    """As many rows of the test split as objects are generated, or all of it where it has fewer; a seeded draw."""
    generator = torch.Generator().manual_seed(subject.effort.seed)
    order = torch.randperm(len(subject.test), generator=generator)
    return order[: subject.effort.generated].sort().values


def _diversity(subject: Subject, extractor: str) -> Diversity:
    """Entropy of the judge's answers beside that of the model's own marginals."""
    return Diversity(
        subject.judged.names,
        subject.judged.label_counts,
        model=own_entropies(subject.model, {}, subject.names),
        protocol=Protocol(extractor=extractor, seed=subject.effort.seed, settings={"given": "nothing"}),
    )


def _protocol(subject: Subject) -> Protocol:
    return Protocol(seed=subject.effort.seed, settings={"split": "test", "given": "nothing"})


def _free(subject: Subject, number: int) -> Iterator[Tensor]:
    """Objects generated without a condition, uint8 on the CPU."""
    for first, count in pieces(number, PIECE):
        yield quantize(subject.model.sample(count, seed=subject.effort.seed, first=first).x).cpu()
