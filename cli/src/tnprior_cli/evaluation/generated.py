"""Do generated objects show what was asked for, few attributes or all of them?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tnprior_cli.errors import BadDataError
from tnprior_cli.evaluation.subject import PIECE, Subject
from tnprior_cli.pieces import pieces
from tnprior_eval import Accuracy, Classifier, ConditionViolation, Judgement, Protocol, Result, quantize

GIVEN = (1, 2, 4)  # and all of them


def requested_attributes(subject: Subject, classifier: Classifier, real: Judgement) -> list[Result]:
    """Accuracy of the requested attributes with all of them given, and violations by how many are given.

    Conditions are the labels of test objects; where only some are given, which ones is drawn for each object.
    Beside the violations stand those that the judge sees in the test objects themselves, of the same requests:
    a model as good as the data would be at that rate. With one attribute there is the accuracy alone.

    Args:
        subject: the run.
        classifier: the judge.
        real: what the judge makes of all test images.
    """
    settings = {"conditions": "labels of test objects"}
    protocol = Protocol(extractor=classifier.extractor, seed=subject.effort.seed, settings=settings)
    drawn = protocol.having(**subject.drawn_so)
    accuracy = Accuracy(subject.names, label="generated-accuracy", protocol=drawn.having(given="all"))
    violation = ConditionViolation(subject.names, protocol=drawn)
    own = ConditionViolation(
        subject.names, label="classifier-violation", protocol=protocol.having(objects="test objects")
    )
    for given in _counts(len(subject.names)):
        requests = _requests(subject, given)
        own.update(real.answers[requests.rows] != requests.codes, requests.chosen)
        for rows, x in _conditional(subject, requests, given):
            codes, chosen, answers = requests.codes[rows], requests.chosen[rows], classifier.answers(x)
            violation.update(answers != codes, chosen)
            if given == len(subject.names):
                accuracy.update(answers, codes, chosen)
    together = len(subject.names) > 1
    return [accuracy.compute(), *([violation.compute(), own.compute()] if together else [])]


@dataclass(frozen=True)
class _Requests:
    """Test objects, their codes (n, A), and which of their attributes are requested."""

    rows: Tensor
    codes: Tensor
    chosen: Tensor


def _counts(attributes: int) -> list[int]:
    """1, 2, 4 and all, as far as there are so many; only all of a single one."""
    return sorted({min(count, attributes) for count in (*GIVEN, attributes)})


def _conditional(subject: Subject, requests: _Requests, given: int) -> Iterator[tuple[slice, Tensor]]:
    """An object for every request, piece by piece: which rows, and images."""
    for number, (first, count) in enumerate(pieces(len(requests.codes), PIECE)):
        rows = slice(first, first + count)
        evidence = _evidence(subject, requests.codes[rows], requests.chosen[rows])
        drawn = subject.on_request.sample(1, given=evidence, seed=subject.effort.seed + given, first=number)
        yield rows, quantize(drawn.x[0]).cpu()


def _requests(subject: Subject, given: int) -> _Requests:
    """Random test objects with `given` random known attributes of each."""
    generator = torch.Generator().manual_seed(subject.effort.seed)
    truth = subject.test.truth
    usable = (truth.observed.sum(1) >= given).nonzero()[:, 0]
    if len(usable) == 0:
        raise BadDataError(f"no object of the test split has {given} known labels to ask for")
    rows = usable[torch.randint(len(usable), (subject.effort.generated,), generator=generator)]
    codes, known = truth.codes[rows], truth.observed[rows]
    lot = torch.rand(known.shape, generator=generator).masked_fill(~known, -1.0)
    chosen = torch.zeros_like(known).scatter(1, lot.topk(given, dim=1).indices, value=True)
    return _Requests(rows, codes, chosen)


def _evidence(subject: Subject, codes: Tensor, requested: Tensor) -> dict[str, Sequence[str | None]]:
    """One label or nothing for every object, attribute by attribute."""
    evidence: dict[str, Sequence[str | None]] = {}
    for a, attribute in enumerate(subject.run.objects.attributes):
        pairs = zip(codes[:, a].tolist(), requested[:, a].tolist(), strict=True)
        evidence[attribute.name] = [attribute.labels[code] if asked else None for code, asked in pairs]
    return evidence
