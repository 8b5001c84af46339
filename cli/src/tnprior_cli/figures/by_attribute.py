"""The numbers of every attribute side by side."""

from collections.abc import Mapping
from dataclasses import dataclass

from tnprior_cli.attributes import Objects
from tnprior_cli.figures.exhibit import Quantity
from tnprior_cli.figures.wording import interval, percent
from tnprior_eval import Report, Row

COLUMNS = (
    ("imputation-accuracy", "filled in right"),
    ("imputation-majority", "commonest label"),
    ("imputation/ece", "calibration error"),
    ("generated-accuracy", "generated as requested"),
    ("classifier-accuracy", "classifier itself"),
)


@dataclass(frozen=True)
class AttributeLine:
    """An attribute, its labels, the share hidden in training, and its numbers (None where not measured)."""

    name: str
    labels: str
    missing: str
    cells: tuple[Quantity | None, ...]


@dataclass(frozen=True)
class AttributeTable:
    """Heads of the measured columns, and a line for each attribute."""

    heads: tuple[str, ...]
    lines: tuple[AttributeLine, ...]


def attribute_table(report: Report, objects: Objects) -> AttributeTable:
    """The columns that were measured, for every attribute."""
    rows = {row.name: row for row in report.rows()}
    alone = len(objects.names) == 1
    heads, names = [], []
    for base, head in COLUMNS:
        if any(_row(rows, base, name, alone=alone) for name in objects.names):
            heads.append(head)
            names.append(base)
    lines = tuple(
        AttributeLine(
            item.name,
            ", ".join(item.labels),
            percent(item.missing),
            tuple(_quantity(_row(rows, base, item.name, alone=alone)) for base in names),
        )
        for item in objects.attributes
    )
    return AttributeTable(tuple(heads), lines)


def _row(rows: Mapping[str, Row], base: str, name: str, *, alone: bool) -> Row | None:
    """The number of one attribute; where there is only one attribute, the number of all is its own."""
    return rows.get(f"{base}/{name}") or (rows.get(base) if alone else None)


def _quantity(row: Row | None) -> Quantity | None:
    if row is None:
        return None
    value = row.estimate.value
    return Quantity(row.name, value, percent(value), interval=interval(row.estimate, as_percent=True))
