"""What the runs of a table hold now, put together: numbers over seeds beside the paper's."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tnprior_cli.attributes import read_json
from tnprior_cli.errors import BadDataError
from tnprior_cli.rundir import ENVIRONMENT, REPORT
from tnprior_cli.tables.cells import Cell
from tnprior_cli.tables.definition import Column, Definition, Row
from tnprior_cli.tables.execution import Failure
from tnprior_cli.tables.standing import Made, Standing

FORMAT = "tnprior-table-1"
TABLE, PAGE = "table.json", "table.md"


@dataclass(frozen=True)
class Numbers:
    """A number over seeds.

    >>> numbers = Numbers((1.0, 2.0, 6.0))
    >>> numbers.mean, numbers.low, numbers.high, round(numbers.deviation, 3)
    (3.0, 1.0, 6.0, 2.646)
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean."""
        return statistics.fmean(self.values)

    @property
    def low(self) -> float:
        """The lowest."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The highest."""
        return max(self.values)

    @property
    def deviation(self) -> float | None:
        """The standard deviation of a run, None for a single one."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def plain(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "mean": self.mean,
            "standard_deviation": self.deviation,
            "lowest": self.low,
            "highest": self.high,
            "values": list(self.values),
        }


@dataclass(frozen=True)
class RunResult:
    """A cell with what its run directory holds: its numbers by name, and the minutes it took to make."""

    cell: Cell
    standing: Standing
    values: dict[str, float]
    minutes: float | None
    failure: Failure | None

    def plain(self) -> dict[str, Any]:
        """As plain JSON."""
        commands = [command.text() for command in (self.cell.make, self.cell.measure) if command is not None]
        record = self.standing.record
        return {
            "seed": self.cell.seed,
            "run": str(self.cell.path),
            "standing": self.standing.describe(),
            "failure": None if self.failure is None else self.failure.describe(),
            "commands": commands,
            "minutes": self.minutes,
            "made": None if record.made is None else record.made.date,
            "measured": None if record.measured is None else record.measured.date,
            "machine": None if record.made is None else record.made.machine,
            "values": self.values,
        }


@dataclass(frozen=True)
class RowResult:
    """A row with its runs."""

    row: Row
    runs: tuple[RunResult, ...]

    def numbers(self, column: Column) -> Numbers | None:
        """Our numbers for a column in its unit; None where there is none yet."""
        found = [run.values[column.value] for run in self.runs if column.value in run.values]
        return Numbers(tuple(column.scale * value for value in found)) if found else None

    def minutes(self) -> Numbers | None:
        """The minutes of making a run."""
        found = tuple(run.minutes for run in self.runs if run.minutes is not None)
        return Numbers(found) if found else None


@dataclass(frozen=True)
class TableResult:
    """A table as it stands."""

    definition: Definition
    command: str
    settings: tuple[str, ...]
    date: str
    machine: dict[str, Any]
    rows: tuple[RowResult, ...]

    @property
    def runs(self) -> list[RunResult]:
        """The runs of all rows."""
        return [run for row in self.rows for run in row.runs]

    def plain(self) -> dict[str, Any]:
        """The content of table.json."""
        table = self.definition.table
        return {
            "format": FORMAT,
            "table": self.definition.name,
            "title": table.title,
            "source": table.source,
            "notes": list(table.notes),
            "command": self.command,
            "settings": list(self.settings),
            "date": self.date,
            "machine": self.machine,
            "complete": all(run.standing.complete for run in self.runs),
            "columns": [column.model_dump(mode="json") for column in table.columns],
            "rows": [self._row(row) for row in self.rows],
        }

    def _row(self, result: RowResult) -> dict[str, Any]:
        numbers = {column.name: result.numbers(column) for column in self.definition.table.columns}
        return {
            "name": result.row.name,
            "label": result.row.label,
            "shown": result.row.shown,
            "ours": {name: found.plain() for name, found in numbers.items() if found is not None},
            "paper": dict(result.row.paper),
            "runs": [run.plain() for run in result.runs],
        }


def row_results(
    definition: Definition,
    cells: Sequence[Cell],
    standings: Mapping[Path, Standing],
    failures: Mapping[Path, Failure],
) -> tuple[RowResult, ...]:
    """The rows in the order of the table, each with what its run directories hold."""
    return tuple(
        RowResult(
            row,
            tuple(
                _run(cell, standings[cell.path], failures.get(cell.path))
                for cell in cells
                if cell.row.name == row.name
            ),
        )
        for row in definition.table.rows
    )


def _run(cell: Cell, standing: Standing, failure: Failure | None) -> RunResult:
    values = _values(cell.path) if standing.measured and cell.measure is not None else {}
    return RunResult(cell, standing, values, _minutes(cell, standing), failure)


def _values(run: Path) -> dict[str, float]:
    """The finite numbers of a report."""
    values = _content(run / REPORT).get("values", {})
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }


def _minutes(cell: Cell, standing: Standing) -> float | None:
    """Training time as the run itself has it; of a fitted prior, what the command took."""
    if standing.made is not Made.DONE:
        return None
    seconds = _content(cell.path / ENVIRONMENT).get("times", {}).get("seconds") if cell.base is None else None
    if seconds is None and standing.record.made is not None:
        seconds = standing.record.made.seconds
    return None if seconds is None else round(float(seconds) / 60, 4)


def _content(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except (OSError, BadDataError):
        return {}
    return content if isinstance(content, dict) else {}
