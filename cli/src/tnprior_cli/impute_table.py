"""The filled table: the user's columns in their order, the probabilities after them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from tnprior_cli.atomic import replacing_file
from tnprior_cli.fill import Answer
from tnprior_cli.impute_input import FILLED, ImputeInput


@dataclass(frozen=True)
class Counts:
    """What was done to the cells of a table; `right` of the `hidden` cells that were filled hold the hidden label."""

    cells: int
    known: int
    filled: int
    left_empty: int
    hidden: int
    right: int

    def text(self) -> str:
        """One line for the user."""
        line = f"{self.cells} cells: {self.known} known, {self.filled} filled, {self.left_empty} left empty"
        if self.hidden:
            line += f"; {self.right} of {self.hidden} filled cells whose label is known are right"
            line += f" ({self.right / self.hidden:.3f})"
        return line

    def numbers(self) -> dict[str, Any]:
        """The same for a program."""
        return dict(vars(self))


def count_cells(asked: ImputeInput, answer: Answer, threshold: float) -> Counts:
    """How many cells were known, filled and left empty, and how many of the hidden ones are right."""
    known, truth = asked.dataset.observed, asked.dataset.truth
    filled = filled_cells(asked, answer, threshold)
    hidden = filled & truth.observed
    right = hidden & (answer.codes == truth.codes)
    left = ~known & ~filled
    masks = (known, filled, left, hidden, right)
    return Counts(known.numel(), *(int(mask.sum()) for mask in masks))


def filled_cells(asked: ImputeInput, answer: Answer, threshold: float) -> Tensor:
    """Which cells get a label: empty ones whose best label reaches the threshold; (n, A) bool."""
    return ~asked.dataset.observed & (answer.confidence >= threshold)


def filled_table(asked: ImputeInput, answer: Answer, threshold: float) -> pl.DataFrame:
    """The user's columns with the empty cells filled, then `filled` and the probabilities.

    `filled` names the columns in which a cell of the row was filled, joined by `|`; `p(hat=1)` is the
    probability that the attribute under the heading `hat` is `1`, given the object and the known labels.
    """
    filled = filled_cells(asked, answer, threshold)
    columns = _labelled(asked, answer.codes, filled)
    headings = list(asked.headings.values())
    rows = ["|".join(h for h, new in zip(headings, row, strict=True) if new) for row in filled.tolist()]
    columns.append(pl.Series(FILLED, [row or None for row in rows], dtype=pl.String))
    for attribute, table in zip(asked.dataset.schema, answer.probabilities, strict=True):
        heading = asked.headings[attribute.name]
        for code, label in enumerate(attribute.labels):
            cells = [f"{value:.6f}" for value in table[:, code].tolist()]
            columns.append(pl.Series(f"p({heading}={label})", cells))
    return asked.frame.with_columns(columns)


def drawn_table(asked: ImputeInput, codes: Tensor) -> pl.DataFrame:
    """Joint draws (m, n, A) under each other: the number of the draw, the file name, the attributes."""
    everything = torch.ones_like(asked.dataset.observed)
    names = pl.Series("file_name", asked.dataset.names)
    tables = [
        pl.DataFrame([pl.Series("draw", [draw + 1] * len(names)), names, *_labelled(asked, rows, everything)])
        for draw, rows in enumerate(codes)
    ]
    return pl.concat(tables)


def write_csv(table: pl.DataFrame, path: Path) -> None:
    """Writes the table, whole or not at all; an empty cell where nothing is known."""
    with replacing_file(path) as temporary:
        temporary.write_text(table.write_csv(), encoding="utf-8")


def _labelled(asked: ImputeInput, codes: Tensor, new: Tensor) -> list[pl.Series]:
    """The attribute columns under the user's headings, with new labels where `new`."""
    known = asked.dataset.table
    columns = []
    for a, attribute in enumerate(asked.dataset.schema):
        labels = [
            attribute.labels[code] if fresh else old
            for code, fresh, old in zip(
                codes[:, a].tolist(), new[:, a].tolist(), known.column(attribute.name), strict=True
            )
        ]
        columns.append(pl.Series(asked.headings[attribute.name], labels, dtype=pl.String))
    return columns
