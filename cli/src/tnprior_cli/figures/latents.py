"""The latent space: codes of test images, coloured by label."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tnprior_cli.build import model_input
from tnprior_cli.evaluation.subject import PIECE, Subject
from tnprior_cli.figures.exhibit import Exhibit, Plot
from tnprior_cli.figures.ink import colour, drawing, svg
from tnprior_cli.figures.projection import discriminant_plane
from tnprior_cli.pieces import pieces
from tnprior_data import Dataset
from tnprior_models import Encodes

POINTS, ATTRIBUTES, CLASSES, COLUMNS = 1000, 12, 40, 4


def latent_space(subject: Subject) -> Exhibit | None:
    """One panel per attribute; nothing for a model that does not encode, or without attributes."""
    if not isinstance(subject.model, Encodes) or not subject.names:
        return None
    fitted, shown = _codes(subject, subject.train), _codes(subject, subject.test)
    panels = [
        (a, name)
        for a, name in enumerate(subject.names)
        if subject.label_counts[a] <= CLASSES
        and len(subject.train.codes[: len(fitted), a][subject.train.observed[: len(fitted), a]].unique()) > 1
    ][:ATTRIBUTES]
    if not panels:
        return None
    columns = min(COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    size = (5.4, 4.6) if len(panels) == 1 else (2.6 * columns, 2.5 * lines)
    with drawing(*size) as figure:
        for place, (a, name) in enumerate(panels, 1):
            axes = figure.add_subplot(lines, columns, place)
            _panel(axes, subject, a, fitted, shown, alone=len(panels) == 1)
            axes.set_title(name, parse_math=False)
        drawn = svg(figure, "latents", f"codes of test images coloured by {', '.join(n for _, n in panels)}")
    return Exhibit("latents", "Latent space", _caption(subject, len(shown), len(panels)), Plot(drawn))


def _caption(subject: Subject, shown: int, panels: int) -> str:
    left_out = len(subject.names) - panels
    return (
        f"Each point is the code (the mean of q(z|x)) of one of {shown} test images, coloured by its true label. "
        "The axes are the directions that tell the labels apart best (linear discriminants; for yes and no the "
        "first one and the most variable direction besides), found on training images, so that the separation "
        "is not an artefact of the points shown. Clouds apart: the code knows the label."
        + (f" {left_out} more attributes are not shown." if left_out else "")
    )


def _codes(subject: Subject, data: Dataset) -> Tensor:
    """Mean codes (n, d) of the first images of a split."""
    found = []
    with torch.no_grad():
        for first, count in pieces(min(POINTS, len(data)), PIECE):
            x, _, _ = model_input(data, slice(first, first + count), subject.model)
            found.append(subject.model.encode(x).mean.double().cpu())
    return torch.cat(found)


def _panel(axes: Any, subject: Subject, a: int, fitted: Tensor, shown: Tensor, *, alone: bool) -> None:
    known = subject.train.observed[: len(fitted), a]
    plane = discriminant_plane(fitted[known], subject.train.codes[: len(fitted), a][known])
    points = (shown - fitted.mean(dim=0)) @ plane
    truth = subject.test.truth
    codes, seen = truth.codes[: len(shown), a], truth.observed[: len(shown), a]
    labels = subject.run.objects.attributes[a].labels
    order = seen.nonzero()[:, 0]
    axes.scatter(
        *points[order].T.numpy(),
        c=[colour(int(code), len(labels)) for code in codes[order]],
        s=16 if alone else 6,
        alpha=0.55,
        linewidths=0,
        rasterized=True,
    )
    _names(axes, points, codes.masked_fill(~seen, -1), labels)
    axes.set(xticks=[], yticks=[])
    axes.margins(0.04)


def _names(axes: Any, points: Tensor, codes: Tensor, labels: Sequence[str]) -> None:
    """The label of each class at the middle of its cloud."""
    for code, label in enumerate(labels):
        mine = points[codes == code]
        if len(mine):
            x, y = mine.median(dim=0).values.tolist()
            face = {"facecolor": colour(code, len(labels)), "edgecolor": "none", "boxstyle": "round,pad=0.22"}
            middle = {"ha": "center", "va": "center", "bbox": face, "parse_math": False}
            axes.text(x, y, label, color="white", weight="bold", **middle)
