"""Do generated objects show what was asked for?"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from tnprior_cli.errors import BadDataError
from tnprior_cli.evaluation.subject import PIECE, Subject
from tnprior_cli.pieces import pieces
from tnprior_eval import (
    Accuracy,
    Classifier,
    ConditionViolation,
    Protocol,
    Result,
    quantize,
)

GIVEN = (1, 2, 4)  # and all of them


def requested_attributes(subject: Subject, classifier: Classifier) -> list[Result]:
    """Accuracy of the requested attributes with all of them given, and violations by how many are given.

    Conditions are the labels of test objects; where only some are given, which ones is drawn for each object.
    """
    settings = {"conditions": "labels of test objects"}
    protocol = Protocol(extractor=classifier.extractor, seed=subject.effort.seed, settings=settings)
    accuracy = Accuracy(subject.names, label="generated-accuracy", protocol=protocol.having(given="all"))
    violation = ConditionViolation(subject.names, protocol=protocol)
    for given in sorted({min(count, len(subject.names)) for count in (*GIVEN, len(subject.names))}):
        for codes, requested, x in _conditional(subject, given):
            answers = classifier.answers(x)
            violation.update(answers != codes, requested)
            if given == len(subject.names):
                accuracy.update(answers, codes, requested)
    return [accuracy.compute(), violation.compute()]


def _conditional(subject: Subject, given: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Objects for conditions with `given` attributes each: requested codes, mask and images, piece by piece."""
    codes, requested = _requests(subject, given)
    for number, (first, count) in enumerate(pieces(len(codes), PIECE)):
        rows = slice(first, first + count)
        evidence = _evidence(subject, codes[rows], requested[rows])
        drawn = subject.model.sample(1, given=evidence, seed=subject.effort.seed + given, first=number)
        yield codes[rows], requested[rows], quantize(drawn.x[0]).cpu()


def _requests(subject: Subject, given: int) -> tuple[Tensor, Tensor]:
    """Codes (n, A) of test objects and a mask with `given` random known attributes of each."""
    generator = torch.Generator().manual_seed(subject.effort.seed)
    truth = subject.test.truth
    usable = (truth.observed.sum(1) >= given).nonzero()[:, 0]
    if len(usable) == 0:
        raise BadDataError(f"no object of the test split has {given} known labels to ask for")
    rows = usable[torch.randint(len(usable), (subject.effort.generated,), generator=generator)]
    codes, known = truth.codes[rows], truth.observed[rows]
    lot = torch.rand(known.shape, generator=generator).masked_fill(~known, -1.0)
    chosen = torch.zeros_like(known).scatter(1, lot.topk(given, dim=1).indices, value=True)
    return codes, chosen


def _evidence(subject: Subject, codes: Tensor, requested: Tensor) -> dict[str, Sequence[str | None]]:
    """One label or nothing for every object, attribute by attribute."""
    evidence: dict[str, Sequence[str | None]] = {}
    for a, attribute in enumerate(subject.run.objects.attributes):
        pairs = zip(codes[:, a].tolist(), requested[:, a].tolist(), strict=True)
        evidence[attribute.name] = [attribute.labels[code] if asked else None for code, asked in pairs]
    return evidence
