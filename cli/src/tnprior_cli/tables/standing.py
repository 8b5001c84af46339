"""How far a cell of a table is, from what its run directory holds."""

import enum
from dataclasses import dataclass

from tnprior_cli.config import RunConfig
from tnprior_cli.errors import BadDataError, UsageError
from tnprior_cli.rundir import is_run, open_run
from tnprior_cli.settings import changed_keys
from tnprior_cli.tables.cells import Cell
from tnprior_cli.tables.record import Record, read_record, report_digest, weights_digest

IDLE = (
    "description",
    "data.root",
    "train.checkpoint_epochs",
    "train.checkpoint_steps",
    "train.grid_epochs",
    "train.tensorboard",
)
"""Settings that two runs with the same weights may differ in."""


class Made(enum.Enum):
    """How far the run itself is."""

    ABSENT = "to do"
    BEGUN = "begun"
    OTHER = "made with other settings"
    DONE = "done"


@dataclass(frozen=True)
class Standing:
    """How far a cell is.

    Args:
        made: the run.
        measured: whether its report is of these weights and by this command.
        detail: the epoch it has come to, or the settings that differ.
        record: what was noted.
    """

    made: Made
    measured: bool
    detail: str
    record: Record

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return self.made is Made.DONE and self.measured

    def describe(self) -> str:
        """In a few words, for the user."""
        if self.made is not Made.DONE:
            return f"{self.made.value}{f': {self.detail}' if self.detail else ''}"
        return "done" if self.measured else "to evaluate"


def standing_of(cell: Cell) -> Standing:
    """Looks into the run directory of a cell."""
    record = read_record(cell.path)
    made, detail = _trained(cell, record) if cell.base is None else _fitted(cell, cell.base, record)
    measured = made is Made.DONE and (cell.measure is None or _is_measured(cell, record))
    return Standing(made, measured, detail, record)


def _trained(cell: Cell, record: Record) -> tuple[Made, str]:
    if not is_run(cell.path):
        return Made.ABSENT, ""
    try:
        run = open_run(cell.path)
        other = [key for key in changed_keys(run.config, cell.config()) if _matters(key, run.config)]
    except (BadDataError, UsageError) as error:
        return Made.OTHER, str(error)
    if other:
        return Made.OTHER, ", ".join(other)
    if _is_made(cell, record):
        return Made.DONE, ""
    return Made.BEGUN, f"epoch {len(run.metrics())} of {run.config.train.epochs}"


def _matters(key: str, config: RunConfig) -> bool:
    """Whether a setting has a part in the weights; those of the game concern no other family than a gan."""
    return key not in IDLE and (config.model.family == "gan" or not key.startswith("gan."))


def _fitted(cell: Cell, base: Cell, record: Record) -> tuple[Made, str]:
    if not is_run(cell.path):
        return Made.ABSENT, ""
    if record.made is not None and record.made.identity != cell.make.identity:
        return Made.OTHER, f"`{record.made.identity}`"
    if _is_made(cell, record) and record.made and record.made.inputs == weights_digest(base.path):
        return Made.DONE, ""
    return Made.BEGUN, f"to fit to {base.path}"


def _is_made(cell: Cell, record: Record) -> bool:
    return record.made is not None and record.made.outputs == weights_digest(cell.path)


def _is_measured(cell: Cell, record: Record) -> bool:
    step = record.measured
    return (
        step is not None
        and cell.measure is not None
        and step.identity == cell.measure.identity
        and step.inputs == weights_digest(cell.path)
        and step.outputs == report_digest(cell.path)
    )
