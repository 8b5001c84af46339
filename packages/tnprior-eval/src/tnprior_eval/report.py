"""Results put together: one JSON document and one table that a person reads."""

import json
import math
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tnprior_eval.errors import EvalError
from tnprior_eval.estimate import Estimate
from tnprior_eval.protocol import versions
from tnprior_eval.result import Json, Result, Row

COLUMNS = ("metric", "value", "interval", "n", "protocol")


class Report:
    """An ordered list of results whose numbers have different names.

    Args:
        results: results to begin with.

    >>> import torch
    >>> from tnprior_eval import Accuracy
    >>> metric = Accuracy(["hat"], label="imputation-accuracy")
    >>> metric.update(torch.tensor([[1]]), torch.tensor([[1]]), torch.tensor([[True]]))
    >>> Report([metric.compute()]).values()
    {'imputation-accuracy': 1.0}
    """

    def __init__(self, results: Iterable[Result] = ()) -> None:
        self._results: list[Result] = []
        for result in results:
            self.add(result)

    @property
    def results(self) -> tuple[Result, ...]:
        """The results in the order in which they came."""
        return tuple(self._results)

    def add(self, result: Result) -> None:
        """Appends a result; raises `EvalError` when one of its numbers has a name that is taken."""
        names = [row.name for row in result.rows()]
        taken = sorted(set(names) & set(self.values())) or sorted(
            {name for name in names if names.count(name) > 1}
        )
        if taken:
            raise EvalError(
                f"expected numbers with new names, received {taken} again; give the result another label"
            )
        self._results.append(result)

    def rows(self) -> tuple[Row, ...]:
        """The numbers of all results."""
        return tuple(row for result in self._results for row in result.rows())

    def values(self) -> dict[str, float]:
        """Each number under its name, as thresholds refer to it (`generated-accuracy>=0.93`)."""
        return {row.name: row.estimate.value for row in self.rows()}

    def table(self) -> tuple[tuple[str, ...], ...]:
        """Cells of the table as text, one tuple per number in the order of `COLUMNS`."""
        return tuple(_cells(row) for row in self.rows())

    def to_dict(self) -> dict[str, Json]:
        """Versions, the numbers by name and every result in full; strict JSON."""
        values: dict[str, Json] = {
            name: value if math.isfinite(value) else str(value) for name, value in self.values().items()
        }
        installed: dict[str, Json] = dict(versions())
        return {
            "format": "tnprior-report-1",
            "versions": installed,
            "values": values,
            "results": [result.to_dict() for result in self._results],
        }

    def to_json(self) -> str:
        """`to_dict` as text with a final newline."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """The table in Markdown."""
        lines = [COLUMNS, ("---", "---:", "---", "---:", "---"), *self.table()]
        return "".join(
            "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines
        )

    def write(self, path: Path) -> None:
        """Writes `to_json` to a temporary name beside `path` and renames it."""
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(self.to_json())
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise


def _cells(row: Row) -> tuple[str, ...]:
    estimate = row.estimate
    value = f"{_number(estimate.value)} {estimate.unit}".rstrip()
    return (row.name, value, _uncertainty(estimate), str(estimate.n), row.protocol.describe())


def _uncertainty(estimate: Estimate) -> str:
    if estimate.interval is not None:
        return f"[{_number(estimate.interval.low)}, {_number(estimate.interval.high)}]"
    if estimate.standard_error is not None:
        return f"± {_number(estimate.standard_error)}"
    return ""


def _number(value: float) -> str:
    """Four digits after the point for shares, fewer for large numbers.

    >>> _number(0.98765), _number(-193.3214), _number(2.0e-7)
    ('0.9877', '-193.32', '2e-07')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) < 1e-3:
        return f"{value:.2g}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"
