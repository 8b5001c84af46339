"""Every row of a table with every seed: the run it makes and the command lines that make and measure it."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tnprior_cli.config import RunConfig
from tnprior_cli.errors import UsageError
from tnprior_cli.fit_settings import fitted_config
from tnprior_cli.settings import resolve
from tnprior_cli.tables.command import Command
from tnprior_cli.tables.definition import Definition, Row

RUNS = "runs"
_OF_THE_PRIOR, _OF_THE_FIT = "prior.", "fit."


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    source: str
    out: Path
    seeds: int
    settings: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    root: Path | None = None
    device: str = "auto"
    overwrite: bool = False

    @property
    def command(self) -> Command:
        """The command line that asks for it."""
        rows = [word for pattern in self.rows for word in ("--rows", pattern)]
        choices = ("--seeds", str(self.seeds), *_as_options(self.settings), *rows)
        return Command("table", self.source, choices, self.out, (*self.place_of_data, *self.place))

    @property
    def place(self) -> tuple[str, ...]:
        """The option that says where to compute."""
        return () if self.device == "auto" else ("-d", self.device)

    @property
    def place_of_data(self) -> tuple[str, ...]:
        """The option that says where the data are."""
        return () if self.root is None else ("--root", str(self.root))


@dataclass(frozen=True)
class Cell:
    """A row with a seed.

    Args:
        row, seed: which.
        path: its run directory.
        settings: what is set beyond the recipe, the seed included.
        make: trains it, or fits a prior to another cell's run.
        measure: evaluates it; None for a row that is not shown.
        base: the cell to whose run the prior is fitted.
    """

    row: Row
    seed: int
    path: Path
    settings: tuple[str, ...]
    make: Command
    measure: Command | None
    base: "Cell | None" = None

    def config(self) -> RunConfig:
        """The configuration that its run has.

        Raises:
            UsageError: there is no such recipe or setting, or a value is not allowed.
        """
        if self.base is None:
            return resolve(self.make.subject, self.settings)
        return fitted_config(self.base.config(), str(self.base.path), self.settings)[0]


def cells_of(definition: Definition, request: Request) -> list[Cell]:
    """All cells, seed by seed, each after the one it builds on.

    Raises:
        UsageError: a setting that the table itself chooses, or that no row has a use for.
    """
    for text in request.settings:
        if text.partition("=")[0].strip() == "seed":
            raise UsageError("the seeds of a table are 0 to N-1; choose N with --seeds N")
    cells = [cell for seed in range(request.seeds) for cell in _cells_of_seed(definition, seed, request)]
    for text in request.settings:
        if not any(text in cell.settings for cell in cells):
            raise UsageError(f"no row of {definition.name} has a use for -s {text}; leave it out")
    return cells


def chosen_cells(cells: Sequence[Cell], patterns: Sequence[str]) -> list[Cell]:
    """The cells whose row matches a pattern (all without one), and those they build on.

    Raises:
        UsageError: a pattern that no row matches.
    """
    names = list(dict.fromkeys(cell.row.name for cell in cells))
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UsageError(f"no row matches --rows {pattern!r}; rows are {', '.join(names)}")
    if not patterns:
        return list(cells)
    wanted = [cell for cell in cells if any(fnmatchcase(cell.row.name, pattern) for pattern in patterns)]
    needed = {cell.path for cell in wanted} | {cell.base.path for cell in wanted if cell.base is not None}
    return [cell for cell in cells if cell.path in needed]


def _cells_of_seed(definition: Definition, seed: int, request: Request) -> list[Cell]:
    rows = definition.table.rows
    trained = {row.name: _trained(definition, row, seed, request) for row in rows if row.train is not None}
    fitted = [_fitted(definition, row, trained[row.fit], request) for row in rows if row.fit is not None]
    return [*trained.values(), *fitted]


def _trained(definition: Definition, row: Row, seed: int, request: Request) -> Cell:
    source = _seen_from(definition, str(row.train))
    foreign = (_OF_THE_FIT, _OF_THE_PRIOR) if row.name in definition.table.foundations() else (_OF_THE_FIT,)
    general = tuple(text for text in request.settings if not _is_of(foreign, text))
    settings = (*row.settings, *general)
    path = _run_path(request, row, seed)
    make = Command(
        "train",
        source,
        (*_as_options(settings), "--seed", str(seed)),
        path,
        (*request.place_of_data, *request.place),
    )
    root = () if request.root is None else (f"data.root={request.root}",)
    resolved = (f"seed={seed}", *root, *settings)
    return Cell(row, seed, path, resolved, make, _measure(definition, row, path, seed, request))


def _fitted(definition: Definition, row: Row, base: Cell, request: Request) -> Cell:
    general = tuple(text for text in request.settings if _is_of((_OF_THE_PRIOR, _OF_THE_FIT), text))
    settings, seed = (*row.settings, *general), base.seed
    path = _run_path(request, row, seed)
    choices = (*_as_options(settings), "--seed", str(seed))
    make = Command("fit-prior", str(base.path), choices, path, request.place)
    measure = _measure(definition, row, path, seed, request)
    return Cell(row, seed, path, (f"seed={seed}", *settings), make, measure, base)


def _measure(definition: Definition, row: Row, path: Path, seed: int, request: Request) -> Command | None:
    if not row.shown:
        return None
    choices = (*definition.table.evaluate, "--seed", str(seed))
    return Command("eval", str(path), choices, None, request.place)


def _run_path(request: Request, row: Row, seed: int) -> Path:
    return request.out / RUNS / f"{row.name}-seed{seed}"


def _seen_from(definition: Definition, source: str) -> str:
    """A file named in a table file is seen from that file's folder."""
    if definition.folder is not None and (definition.folder / source).is_file():
        return str(definition.folder / source)
    return source


def _as_options(settings: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for text in settings for word in ("-s", text))


def _is_of(sections: str | tuple[str, ...], setting: str) -> bool:
    return setting.strip().startswith(sections)
