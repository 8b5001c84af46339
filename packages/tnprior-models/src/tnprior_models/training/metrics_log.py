"""`metrics.jsonl`: one JSON object per epoch, without gaps or repetitions however often a run is resumed."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tnprior_models.checkpoint.atomic import replace_file
from tnprior_models.errors import ModelError
from tnprior_models.training.run import Callback, Run


class MetricsLog(Callback):
    """Appends the numbers of every epoch to `metrics.jsonl`.

    An epoch is written before its checkpoint, so a killed run may have one entry too many, or half a line;
    when it is resumed, what lies beyond its position goes.

    Args:
        path: the file; None for `metrics.jsonl` in the run directory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def before_training(self, run: Run) -> None:
        """Cut the log back to the epochs that the run has completed."""
        path = self._file(run)
        if not path.exists():
            return
        kept = [entry for entry in read_metrics(path) if entry.get("epoch", 0) <= run.progress.epoch]
        replace_file(path, "".join(_line(entry) for entry in kept).encode())

    def after_epoch(self, run: Run) -> None:
        """Append the epoch's numbers.

        Raises:
            ModelError: the file cannot be written; it is as it was.
        """
        path = self._file(run)
        size = path.stat().st_size if path.exists() else 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(_line(run.metrics).encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if path.exists():
                os.truncate(path, size)
            raise ModelError(
                f"cannot write {path}: {error.strerror or error}; free some space, then resume"
            ) from error

    def _file(self, run: Run) -> Path:
        if self._path is not None:
            return self._path
        if run.directory is None:
            raise ModelError("MetricsLog: expected a path, because the run has no directory")
        return run.directory / "metrics.jsonl"


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """The entries of a `metrics.jsonl`; a half-written last line, left by a killed run, is skipped.

    Raises:
        ModelError: the file cannot be read, or an earlier line is not JSON.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot read {path}: {error}") from error
    entries = []
    for number, line in enumerate(lines[:-1], 1):
        try:
            entries.append(dict(json.loads(line)))
        except (ValueError, TypeError) as error:
            raise ModelError(
                f"{path}, line {number}: expected a JSON object, received {line[:60]!r}"
            ) from error
    return entries


def _line(entry: Mapping[str, Any]) -> str:
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in entry.items()
    }
    return json.dumps(finite, allow_nan=False) + "\n"
