"""Where a command's words go: stdout carries data, stderr everything else."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


@dataclass
class Output:
    """The choices `-q`, `-v` and `--no-color` of one call, and the two streams behind them."""

    quiet: bool = False
    verbose: bool = False
    color: bool = True

    def say(self, line: str = "") -> None:
        """A line for the user on stderr; silent with `-q`."""
        if not self.quiet:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    def warn(self, line: str) -> None:
        """A line on stderr that `-q` does not silence."""
        sys.stderr.write(f"tnp: warning: {line}\n")
        sys.stderr.flush()

    def detail(self, line: str) -> None:
        """A line on stderr that only `-v` shows."""
        if self.verbose:
            self.say(line)

    def data(self, text: str) -> None:
        """The answer, on stdout."""
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
        sys.stdout.flush()

    def json(self, value: Any) -> None:
        """The answer as one JSON document, on stdout."""
        self.data(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None) -> None:
        """A table on stderr; silent with `-q`."""
        if self.quiet:
            return
        from rich import box
        from rich.table import Table

        table = Table(*columns, title=title, box=box.SIMPLE_HEAD, title_justify="left")
        for row in rows:
            table.add_row(*row)
        self.console().print(table, markup=False)

    def console(self) -> "Console":
        """A rich console on stderr."""
        from rich.console import Console

        plain = not sys.stderr.isatty()
        return Console(stderr=True, no_color=not self.color, width=120 if plain else None, soft_wrap=plain)

    def done(self, wrote: Iterable[Path], following: Sequence[str] = ()) -> None:
        """The last lines of every command: what it wrote and what to run next."""
        for path in wrote:
            self.say(f"wrote {path}")
        for command in following:
            self.say(f"next: {command}")


def jsonable(value: Any) -> Any:
    """The value with paths as text, tuples as lists and non-finite numbers as null, ready for JSON.

    >>> jsonable({"a": (1.0, float("nan"))})
    {'a': [1.0, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
