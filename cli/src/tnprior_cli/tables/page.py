"""A table as a person reads it: on the terminal, and as Markdown with everything needed to repeat it."""

from collections.abc import Iterable, Sequence

from tnprior_cli.tables.definition import Column
from tnprior_cli.tables.machine import describe_machine, describe_versions
from tnprior_cli.tables.results import RowResult, RunResult, TableResult

ABSENT = "–"


def headings(result: TableResult) -> list[str]:
    """The heads of the columns: ours and the paper's apart, whatever both have."""
    heads = [""]
    for column in result.definition.table.columns:
        heads += [f"{whose}: {column.title}" for whose in _whose(result, column)]
    return [*heads, "minutes"]


def lines(result: TableResult) -> list[list[str]]:
    """The cells of every row that is shown, as text."""
    return [_line(result, row) for row in result.rows if row.row.shown]


def _line(result: TableResult, row: RowResult) -> list[str]:
    cells = [row.row.label]
    for column in result.definition.table.columns:
        shown = {"ours": _ours(column, row), "paper": _paper(column, row)}
        cells += [shown[whose] for whose in _whose(result, column)]
    minutes = row.minutes()
    return [*cells, ABSENT if minutes is None else _minutes(minutes.mean)]


def legend(result: TableResult) -> str:
    """How the numbers are to be read."""
    seeds = max((len(row.runs) for row in result.rows), default=0)
    if seeds == 1:
        return "One seed; minutes of training."
    return f"Mean (lowest to highest) over {seeds} seeds, [m of {seeds}] where only m are done; minutes of training."


def left_to_do(result: TableResult) -> list[RunResult]:
    """The runs that are not complete."""
    return [run for run in result.runs if not run.standing.complete]


def page(result: TableResult) -> str:
    """table.md."""
    table = result.definition.table
    parts = [
        f"# {table.title}\n",
        f"{table.source}\n",
        _markdown(headings(result), lines(result)),
        " ".join([legend(result), _state(result)]).strip() + "\n",
        "".join(f"* {note}\n" for note in table.notes),
        _circumstances(result),
        _runs(result),
        _commands(result),
    ]
    return "\n".join(part for part in parts if part)


def _whose(result: TableResult, column: Column) -> list[str]:
    published = any(column.name in row.row.paper for row in result.rows)
    return [*(["ours"] if column.value is not None else []), *(["paper"] if published else [])]


def _ours(column: Column, row: RowResult) -> str:
    numbers = row.numbers(column)
    if numbers is None:
        return ABSENT
    text = column.show(numbers.mean)
    if len(numbers.values) > 1:
        text += f" ({column.show(numbers.low)} to {column.show(numbers.high)})"
    return (
        text if len(numbers.values) == len(row.runs) else f"{text} [{len(numbers.values)} of {len(row.runs)}]"
    )


def _minutes(number: float) -> str:
    return f"{number:.1f}" if number >= 1 else f"{number:.2f}"


def _paper(column: Column, row: RowResult) -> str:
    number = row.row.paper.get(column.name)
    return ABSENT if number is None else f"{number:g}"


def _state(result: TableResult) -> str:
    left = len(left_to_do(result))
    return f"**{left} of {len(result.runs)} runs are not complete.**" if left else ""


def _circumstances(result: TableResult) -> str:
    machines = [run.standing.record.made.machine for run in result.runs if run.standing.record.made]
    seeds = sorted({run.cell.seed for run in result.runs})
    facts = {
        "date": result.date,
        "command": f"`{result.command}`",
        "seeds": ", ".join(map(str, seeds)),
        "settings beyond the table's": ", ".join(f"`{text}`" for text in result.settings) or "none",
        "machine": _distinct(map(describe_machine, machines or [result.machine])),
        "versions": _distinct(map(describe_versions, machines or [result.machine])),
    }
    return _markdown(["", ""], facts.items())


def _runs(result: TableResult) -> str:
    rows = [
        (
            run.cell.row.label,
            str(run.cell.seed),
            "failed" if run.failure else run.standing.describe(),
            ABSENT if run.minutes is None else _minutes(run.minutes),
            run.standing.record.made.date if run.standing.record.made else ABSENT,
        )
        for run in result.runs
    ]
    heads = ["run", "seed", "", "minutes of training", "made (UTC)"]
    failures = "".join(f"* {run.failure.describe()}\n" for run in result.runs if run.failure)
    return "## Runs\n\n" + _markdown(heads, rows) + (f"\n{failures}" if failures else "")


def _commands(result: TableResult) -> str:
    """The command lines of every run."""
    commands = [
        command.text()
        for run in result.runs
        for command in (run.cell.make, run.cell.measure)
        if command is not None
    ]
    return "## Commands\n\n```bash\n" + "\n".join(commands) + "\n```\n"


def _distinct(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = [heads, ["---"] * len(heads), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in body)
