"""Samples per condition: a row of images for each label of each attribute."""

from collections.abc import Iterator

from tnprior_cli.evaluation.subject import Subject
from tnprior_cli.figures.exhibit import Exhibit, Strip, Strips
from tnprior_cli.figures.strip import strip
from tnprior_eval import quantize
from tnprior_models import Samples

PER_ROW, ROWS = 12, 24


def sample_grid(subject: Subject) -> Exhibit | None:
    """Samples of every label; nothing for a model that does not sample, or without attributes."""
    if not isinstance(subject.model, Samples) or not subject.names:
        return None
    wanted = list(_labels(subject))
    rows = tuple(_row(subject, name, label) for name, label in wanted[:ROWS])
    caption = (
        f"{PER_ROW} samples for each label, everything else left free. All rows start from the same random numbers, "
        "so the images of a column share what the condition does not decide."
    )
    if len(wanted) > ROWS:
        caption += f" {len(wanted) - ROWS} more labels are not shown."
    return Exhibit("samples", "Samples by condition", caption, Strips(rows))


def _labels(subject: Subject) -> Iterator[tuple[str, str]]:
    """Each attribute with each of its labels; of yes and no the yes first."""
    for attribute in subject.run.objects.attributes:
        labels = attribute.labels[::-1] if len(attribute.labels) == 2 else attribute.labels
        yield from ((attribute.name, label) for label in labels)


def _row(subject: Subject, name: str, label: str) -> Strip:
    drawn = subject.on_request.sample(PER_ROW, given={name: label}, seed=subject.effort.seed)
    text = f"{name}={label}"
    return Strip(text, strip(quantize(drawn.x).cpu(), f"samples given {text}"))
