"""Test images with the probabilities that the model gives their attributes."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from tnprior_cli.build import model_input
from tnprior_cli.evaluation.judge import mirrors
from tnprior_cli.evaluation.subject import Subject
from tnprior_cli.figures.exhibit import Bar, Example, Examples, Exhibit
from tnprior_cli.figures.strip import strip
from tnprior_data import Dataset, card
from tnprior_models import Imputes

RANDOM, UNSURE, CONSIDERED = 3, 3, 200
LABELS, ATTRIBUTES = 10, 14
CAPTION = (
    "Test images and what the model says of them with every label hidden: first a random choice, then, of "
    f"{CONSIDERED} test images, those on which it is least sure. A bar is the stated probability; the true label "
    "stands at its right, marked where the model's answer differs from it."
)


def filled_in(subject: Subject) -> Exhibit | None:
    """A few images with bars; nothing for a model that does not fill in, or without attributes."""
    if not isinstance(subject.model, Imputes) or not subject.names or not len(subject.test):
        return None
    order = torch.randperm(len(subject.test), generator=torch.Generator().manual_seed(subject.effort.seed))
    data = subject.test.subset(order[:CONSIDERED])
    tables = _probabilities(subject.model, data)
    examples = tuple(_example(subject, data, tables, i) for i in _chosen(tables))
    return Exhibit("filled", "Filled-in labels", CAPTION, Examples(examples), terms(data))


def terms(data: Dataset) -> str:
    """Whose images these are and on what terms."""
    known = (
        f"Real images of the data set “{data.card.name}” are part of this file. Terms: {data.card.licence}."
    )
    celeba = card("celeba")
    if mirrors(data) and data.card.name != celeba.name:
        known += f" Its attributes are those of CelebA; if its images are, too: {celeba.licence}."
    return known


def _chosen(tables: Sequence[Tensor]) -> list[int]:
    """The first images, and of the others those with the least sure answers, on average over the attributes."""
    confidence = torch.stack([table.max(dim=1).values for table in tables], dim=1).mean(dim=1)
    first = list(range(min(RANDOM, len(confidence))))
    return first + [i for i in confidence.argsort().tolist() if i not in first][:UNSURE]


def _probabilities(model: Any, data: Dataset) -> list[Tensor]:
    """The probabilities (n, C_a) of each attribute with every label hidden."""
    x, codes, observed = model_input(data, slice(None), model)
    with torch.no_grad():
        tables = model.impute(x, torch.zeros_like(codes), torch.zeros_like(observed))
    return [table.cpu() for table in tables]


def _example(subject: Subject, data: Dataset, tables: Sequence[Tensor], i: int) -> Example:
    bars = [
        bar for a in range(min(ATTRIBUTES, len(tables))) for bar in _bars(subject, data, tables[a][i], a, i)
    ]
    return Example(strip(data.x[i : i + 1], f"test image {data.names[i]}"), str(data.names[i]), tuple(bars))


def _bars(subject: Subject, data: Dataset, p: Tensor, a: int, i: int) -> Iterator[Bar]:
    """One bar for yes and no; otherwise one for each of the most probable labels and the true one."""
    attribute, known = subject.run.objects.attributes[a], bool(data.truth.observed[i, a])
    truth, answer = int(data.truth.codes[i, a]), int(p.argmax())
    if len(attribute.labels) == 2:
        label = (
            attribute.name if attribute.labels == ("0", "1") else f"{attribute.name}={attribute.labels[1]}"
        )
        yield Bar(
            label,
            float(p[1]),
            _word(attribute.labels, truth) if known else "?",
            answer == truth if known else None,
        )
        return
    top = p.topk(min(LABELS, len(p))).indices.tolist()
    for code in sorted({*top, truth} if known else top):
        mark = "true" if known and code == truth else ""
        right = (answer == truth) if mark else None
        yield Bar(f"{attribute.name}={attribute.labels[code]}", float(p[code]), mark, right)


def _word(labels: Sequence[str], code: int) -> str:
    return ("no", "yes")[code] if tuple(labels) == ("0", "1") else labels[code]
