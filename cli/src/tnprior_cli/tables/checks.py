"""Everything about a table that can be known before its first run starts."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tnprior_cli.atomic import require_free
from tnprior_cli.attributes import read_json
from tnprior_cli.errors import BadDataError, UsageError
from tnprior_cli.rundir import is_run
from tnprior_cli.tables.cells import Cell, Request
from tnprior_cli.tables.command import check_command
from tnprior_cli.tables.results import FORMAT, TABLE
from tnprior_cli.tables.standing import Made, Standing


def check_place(name: str, out: Path) -> None:
    """The output place is free, or holds this very table.

    Raises:
        UsageError: something else is there.
    """
    occupied = os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir()))
    if occupied and not is_table(out, name):
        raise UsageError(f"{out} exists and does not hold the table {name}; choose another -o")


def is_table(out: Path, name: str) -> bool:
    """Whether a directory holds results of the table of that name."""
    try:
        content = read_json(out / TABLE)
    except (OSError, BadDataError):
        return False
    return isinstance(content, dict) and (content.get("format"), content.get("table")) == (FORMAT, name)


def check_cells(cells: Sequence[Cell], standings: Mapping[Path, Standing], request: Request) -> None:
    """Command lines, recipes, settings, data and device of everything that is left to do.

    Raises:
        UsageError: what cannot be, or a run that was made with other settings while `overwrite` is off.
        DataError: a data set is not there or damaged.
    """
    for cell in cells:
        for command in (cell.make, cell.measure):
            if command is not None:
                check_command(command)
        cell.config()
    _check_settings(cells, standings, request)
    _check_runs(cells, standings, request)


def _check_settings(cells: Sequence[Cell], standings: Mapping[Path, Standing], request: Request) -> None:
    other = [cell for cell in cells if standings[cell.path].made is Made.OTHER]
    if other and not request.overwrite:
        first = other[0]
        more = f" (and {len(other) - 1} more)" if len(other) > 1 else ""
        raise UsageError(
            f"{first.path}{more} was {standings[first.path].describe()}; replace such runs with --overwrite, or "
            "choose another -o"
        )


def _check_runs(cells: Sequence[Cell], standings: Mapping[Path, Standing], request: Request) -> None:
    """The models can be built and take the data: once for each kind of run, whatever seed and missing labels."""
    from tnprior_cli.build import pick_device
    from tnprior_cli.training_plan import Wish, plan

    pick_device(request.device)
    seen: list[object] = []
    for cell in cells:
        standing = standings[cell.path]
        if standing.made is Made.DONE or cell.base is not None:
            continue
        kind = _kind(cell)
        if kind in seen and standing.made is Made.ABSENT:
            continue
        seen.append(kind)
        resume = standing.made is Made.BEGUN
        wish = Wish(cell.make.subject, cell.path, cell.settings, resume=resume, overwrite=request.overwrite)
        plan(wish, device=request.device, devices=1)
    for cell in cells:
        if standings[cell.path].made is Made.ABSENT:
            require_free(cell.path, overwrite=False, ours=is_run, noun="a run directory")


def _kind(cell: Cell) -> object:
    config = cell.config()
    data = config.data.model_copy(update={"missing": 0.0, "seed": 0})
    return config.model_copy(update={"data": data, "seed": 0})
