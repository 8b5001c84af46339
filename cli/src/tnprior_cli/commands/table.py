"""`tnp table`: a whole published table, ours beside the paper's."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tnprior_cli.options import Device, DryRun, Json, Overwrite, Root, Set, speaks
from tnprior_cli.output import Output
from tnprior_cli.tables import complete_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tnprior_cli.tables.execution import Failure
    from tnprior_cli.tables.job import Job

Name = Annotated[
    str | None,
    typer.Argument(metavar="[NAME|FILE]", help="A table, or a TOML file.", autocompletion=complete_table),
]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="Directory to write; default tables/NAME.")]
Seeds = Annotated[int, typer.Option("--seeds", min=1, help="Runs of every row, with seeds from 0.")]
Rows = Annotated[
    list[str] | None,
    typer.Option(
        "--rows",
        metavar="PATTERN",
        help="Only rows with such names, comma-separated (* for any). Repeatable.",
    ),
]


@speaks
def table(
    output: Output,
    name: Name = None,
    out: Out = None,
    seeds: Seeds = 1,
    rows: Rows = None,
    root: Root = None,
    settings: Set = None,
    device: Device = "auto",
    json: Json = False,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
) -> None:
    """Train and measure every row of a published table, and show ours beside the paper's.

    Run it again to continue: what is complete is left as it is, what was interrupted is resumed.
    --overwrite replaces only runs that were made with other settings.
    """
    if name is None:
        _list(output, json)
        return
    from tnprior_cli.atomic import require_folder_name
    from tnprior_cli.tables.cells import Request
    from tnprior_cli.tables.job import default_place, plan_job

    place = out or default_place(name)
    require_folder_name(place)
    request = Request(
        name,
        place,
        seeds,
        tuple(settings or ()),
        tuple(pattern.strip() for text in rows or () for pattern in text.split(",")),
        root,
        device,
        overwrite=overwrite,
    )
    job = plan_job(request)
    if dry_run:
        _show(job, output, json, {})
        _show_plan(job, output)
    else:
        _run(job, output, json)


def _list(output: Output, json: bool) -> None:
    from tnprior_cli.tables import table_titles

    titles = table_titles()
    if json:
        output.json(titles)
        return
    width = max(map(len, titles))
    for name, title in titles.items():
        output.data(f"{name:<{width}}  {title}")
    output.done([], [f"tnp table {next(iter(titles))} --dry-run"])


def _run(job: "Job", output: Output, json: bool) -> None:
    from tnprior_cli.errors import CliError
    from tnprior_cli.tables.results import PAGE, TABLE

    failures = job.run(output)
    _show(job, output, json, failures)
    output.done([job.request.out / name for name in (PAGE, TABLE)])
    if failures:
        rows = ", ".join(path.name for path in failures)
        raise CliError(f"{len(failures)} of {len(job.chosen)} runs failed: {rows}; run it again to retry")


def _show(job: "Job", output: Output, json: bool, failures: "Mapping[Path, Failure]") -> None:
    from tnprior_cli.output import jsonable
    from tnprior_cli.tables.page import headings, legend, lines

    result = job.result(failures)
    output.table(headings(result), lines(result), title=job.definition.table.title)
    for line in (legend(result), *job.definition.table.notes):
        output.say(line)
    if json:
        output.json(jsonable(result.plain()))


def _show_plan(job: "Job", output: Output) -> None:
    """How far every run is, and the command lines that are left."""
    from tnprior_cli.tables.execution import commands_left

    standings = job.standings()
    rows = [(cell.row.label, str(cell.seed), standings[cell.path].describe()) for cell in job.chosen]
    output.table(["run", "seed", ""], rows, title=f"{job.request.out}")
    left = [text for cell in job.chosen for text in commands_left(cell, standings[cell.path])]
    for text in left:
        output.say(f"left: {text}")
    output.done([], ["the same without --dry-run"] if left else [])
