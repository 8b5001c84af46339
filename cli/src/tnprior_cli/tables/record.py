"""What a table notes in each run directory: which commands made and measured it, where, and on which weights."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tnprior_cli.rundir import REPORT, WEIGHTS
from tnprior_cli.runfiles import write_json

RECORD = "steps.json"
_FORMAT = "tnprior-steps-1"


@dataclass(frozen=True)
class Step:
    """A command that ended well.

    Args:
        command: as typed.
        identity: `Command.identity`, what decided the result.
        seconds: what it took here, all its resumed parts together.
        date: when it ended (UTC).
        machine: where.
        inputs, outputs: SHA-256 of the files it read and wrote.
    """

    command: str
    identity: str
    seconds: float
    date: str
    machine: dict[str, Any]
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """The steps of a run: how it was made, how it was measured, and the time spent on making it so far."""

    made: Step | None = None
    measured: Step | None = None
    unfinished: float = 0.0


def read_record(run: Path) -> Record:
    """The record in a run directory; an empty one where there is none that can be read."""
    try:
        content = json.loads((run / RECORD).read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            return Record()
        steps = {name: Step(**content[name]) for name in ("made", "measured") if content[name] is not None}
        return Record(**steps, unfinished=float(content["unfinished"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Record()


def write_record(run: Path, record: Record) -> None:
    """Replaces the record in a run directory, whole or not at all."""
    write_json({"format": _FORMAT, **asdict(record)}, run / RECORD)


def digest(path: Path) -> str:
    """SHA-256 of a file, empty where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def weights_digest(run: Path) -> dict[str, str]:
    """The weights of a run by their SHA-256."""
    return {WEIGHTS: digest(run / WEIGHTS)}


def report_digest(run: Path) -> dict[str, str]:
    """The report of a run by its SHA-256."""
    return {REPORT: digest(run / REPORT)}
