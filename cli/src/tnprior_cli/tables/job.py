"""A table that is known to be possible: its cells, how far they are, and doing the rest."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tnprior_cli.atomic import write_text
from tnprior_cli.output import Output, jsonable
from tnprior_cli.runfiles import write_json
from tnprior_cli.tables.cells import Cell, Request, cells_of, chosen_cells
from tnprior_cli.tables.checks import check_cells, check_place
from tnprior_cli.tables.definition import Definition, load_definition
from tnprior_cli.tables.execution import Execution, Failure
from tnprior_cli.tables.machine import machine
from tnprior_cli.tables.page import page
from tnprior_cli.tables.results import PAGE, TABLE, TableResult, row_results
from tnprior_cli.tables.standing import Standing, standing_of
from tnprior_models.training.environment import now


@dataclass(frozen=True)
class Job:
    """A checked request.

    Args:
        definition: the table.
        request: what was asked for.
        cells: every row with every seed.
        chosen: those to be done now, each after the one it builds on.
    """

    definition: Definition
    request: Request
    cells: list[Cell]
    chosen: list[Cell]

    @cached_property
    def machine(self) -> dict[str, Any]:
        """The facts of this machine."""
        return machine(self.request.device)

    def standings(self) -> dict[Path, Standing]:
        """How far every cell is now."""
        return {cell.path: standing_of(cell) for cell in self.cells}

    def result(self, failures: Mapping[Path, Failure]) -> TableResult:
        """The table as it stands now."""
        return TableResult(
            self.definition,
            self.request.command.text(),
            self.request.settings,
            now(),
            self.machine,
            row_results(self.definition, self.cells, self.standings(), failures),
        )

    def write(self, failures: Mapping[Path, Failure]) -> None:
        """table.json and table.md as they stand now."""
        result = self.result(failures)
        write_json(jsonable(result.plain()), self.request.out / TABLE)
        write_text(self.request.out / PAGE, page(result))

    def run(self, output: Output) -> dict[Path, Failure]:
        """Does what is left and returns what failed, by run directory.

        Raises:
            TableInterruptedError: Ctrl-C or a signal; the same request goes on from there.
        """
        self.write({})
        execution = Execution(self.machine, output, self.write)
        execution.carry_out(self.chosen)
        return execution.failures


def plan_job(request: Request) -> Job:
    """Checks everything that can be checked before the first run.

    Raises:
        UsageError: the table, its columns, rows, recipes or settings, the device, the output place.
        DataError: a data set is not there or damaged.
    """
    definition = load_definition(request.source)
    cells = cells_of(definition, request)
    chosen = chosen_cells(cells, request.rows)
    job = Job(definition, request, cells, chosen)
    check_place(definition.name, request.out)
    check_cells(chosen, job.standings(), request)
    return job


def default_place(source: str) -> Path:
    """tables/NAME for a table of the package or a file."""
    return Path("tables") / (Path(source).stem if source.endswith(".toml") else source)
