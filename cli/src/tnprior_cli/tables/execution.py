"""Doing what is left of a table, one command line after the other."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tnprior_cli.errors import EXIT_INTERRUPTED, CliError
from tnprior_cli.output import Output
from tnprior_cli.rundir import is_run
from tnprior_cli.tables.cells import Cell
from tnprior_cli.tables.command import Command, Finished, run_command
from tnprior_cli.tables.record import (
    Record,
    Step,
    read_record,
    report_digest,
    weights_digest,
    write_record,
)
from tnprior_cli.tables.standing import Made, Standing, standing_of
from tnprior_models.training.environment import now


class TableInterruptedError(CliError):
    """The user stopped a table; what was running wrote its checkpoint (exit code 130)."""

    exit_code = EXIT_INTERRUPTED


@dataclass(frozen=True)
class Failure:
    """A command line that ended badly."""

    command: str
    finished: Finished

    def describe(self) -> str:
        """On one line."""
        return f"`{self.command}` ended with exit code {self.finished.code}: {self.finished.message}"


class Execution:
    """Carries out cells and remembers which failed.

    Args:
        machine: the facts that are noted with every step.
        output: the user's speech.
        done: called after every cell, with the failures so far by run directory.
    """

    def __init__(
        self, machine: dict[str, Any], output: Output, done: Callable[[Mapping[Path, Failure]], None]
    ) -> None:
        self._machine, self._output, self._done = machine, output, done
        self.failures: dict[Path, Failure] = {}

    def carry_out(self, cells: Sequence[Cell]) -> None:
        """Everything that is left to do, in this order; a failure costs only its own cell and what builds on it.

        Raises:
            TableInterruptedError: Ctrl-C or a signal.
        """
        for number, cell in enumerate(cells, start=1):
            standing = standing_of(cell)
            name = f"[{number}/{len(cells)}] {cell.row.label}, seed {cell.seed}"
            if standing.complete:
                self._output.detail(f"{name}: done already")
                continue
            self._output.say(name)
            try:
                failure = self._cell(cell, standing)
            finally:
                self._done(self.failures)
            if failure is not None:
                self.failures[cell.path] = failure
                self._output.warn(failure.describe())
                self._done(self.failures)

    def _cell(self, cell: Cell, standing: Standing) -> Failure | None:
        if cell.base is not None and cell.base.path in self.failures:
            return Failure(cell.make.text(), Finished(1, f"{cell.base.path} is not there to fit to"))
        failure = None if standing.made is Made.DONE else self._make(cell, standing)
        if failure is None and cell.measure is not None:
            failure = self._measure(cell, cell.measure)
        return failure

    def _make(self, cell: Cell, standing: Standing) -> Failure | None:
        more = _more(cell, standing)
        before = standing.record.unfinished if "--resume" in more else 0.0
        inputs = {} if cell.base is None else weights_digest(cell.base.path)
        finished, seconds = self._run(cell.make, more)
        if is_run(cell.path):
            record = Record(unfinished=before + seconds)
            if finished.code == 0:
                step = self._step(cell.make, record.unfinished)
                record = Record(replace(step, inputs=inputs, outputs=weights_digest(cell.path)))
            write_record(cell.path, record)
        return _failure(cell.make, finished)

    def _measure(self, cell: Cell, command: Command) -> Failure | None:
        weights = weights_digest(cell.path)
        finished, seconds = self._run(command, [])
        if finished.code == 0:
            step = replace(self._step(command, seconds), inputs=weights, outputs=report_digest(cell.path))
            write_record(cell.path, replace(read_record(cell.path), measured=step))
        return _failure(command, finished)

    def _step(self, command: Command, seconds: float) -> Step:
        return Step(command.text(), command.identity, round(seconds, 1), now(), self._machine)

    def _run(self, command: Command, more: Sequence[str]) -> tuple[Finished, float]:
        self._output.say(f"$ {command.text(*more)}")
        began = time.monotonic()
        finished = run_command(command.words(*more), self._output)
        return finished, time.monotonic() - began


def _failure(command: Command, finished: Finished) -> Failure | None:
    if finished.code == EXIT_INTERRUPTED:
        raise TableInterruptedError("interrupted; run the same command again to continue")
    return None if finished.code == 0 else Failure(command.text(), finished)


def commands_left(cell: Cell, standing: Standing) -> list[str]:
    """The command lines that complete a cell."""
    make = [] if standing.made is Made.DONE else [cell.make.text(*_more(cell, standing))]
    measure = [] if standing.measured or cell.measure is None else [cell.measure.text()]
    return make + measure


def _more(cell: Cell, standing: Standing) -> list[str]:
    """How to treat what is in the run directory: an interrupted training is resumed, the rest is replaced."""
    if standing.made is Made.BEGUN and cell.base is None:
        return ["--resume"]
    return ["--overwrite"] if is_run(cell.path) else []
