"""What is to be filled in: the objects, what is known about them, and the table as the user wrote it."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

import tnprior_data
from tnprior_cli.errors import BadDataError, UsageError
from tnprior_cli.rundir import RunDirectory
from tnprior_data import Dataset, UnknownNameError, resolve
from tnprior_data.source import inside, open_source
from tnprior_data.table import FILE_NAME
from tnprior_data.table_read import read_frame

METADATA = "metadata.csv"
FILLED = "filled"


@dataclass(frozen=True)
class ImputeInput:
    """Objects with a partly empty table.

    `frame` is the table as the user wrote it, all strings, null where a cell is empty; `headings` says under
    which of its columns each attribute of the run stands (its own name where there is no such column yet).
    """

    dataset: Dataset
    frame: pl.DataFrame
    headings: dict[str, str]
    source: str


def read_input(
    name: str,
    run: RunDirectory,
    *,
    split: str | None,
    missing: float,
    seed: int,
    root: Path | None,
    resize: bool,
) -> ImputeInput:
    """Reads a folder, a zip, a CSV beside its images, or a data set known by name.

    Raises:
        UsageError: the run has no attributes to fill in.
        BadDataError: images of another shape than the run's, or a table with one of our own columns in it.
        DataError: whatever else is wrong with the files or the table.
    """
    if not run.objects.names:
        raise UsageError(f"{run.path} knows no attributes to fill in; train it with data.attributes")
    if _is_name(name):
        found = _data_set(name, run, split or "test", missing, seed, root)
    else:
        size = run.objects.shape[1] if resize else run.config.data.size
        found = _files(Path(name).expanduser(), run, split, missing, seed, size)
    _check_shape(found.dataset, run)
    return found


def _is_name(text: str) -> bool:
    """Whether it can only be meant as the name of a data set: nothing is there, and it does not look like a path."""
    path = Path(text).expanduser()
    return not path.exists() and path.name == text and not path.suffix


def _data_set(
    name: str, run: RunDirectory, split: str, missing: float, seed: int, root: Path | None
) -> ImputeInput:
    data = run.config.data
    dataset = tnprior_data.load(
        name,
        root=root or data.root,
        split=split,
        attributes=run.objects.names,
        missing=missing,
        seed=seed,
        size=data.size,
        crop=data.crop,
    )
    return ImputeInput(dataset, dataset.table.frame(), {name: name for name in run.objects.names}, name)


def _files(
    path: Path, run: RunDirectory, split: str | None, missing: float, seed: int, size: int | None
) -> ImputeInput:
    """A folder, a zip, or a CSV beside its images."""
    dataset = tnprior_data.open_folder(
        path,
        split=split,
        schema=run.objects.schema(),
        missing=missing,
        seed=seed,
        size=size,
        crop=run.config.data.crop,
        channels=run.objects.shape[0],
    )
    alone = path.suffix.lower() == ".csv"
    source, table = open_source(path.parent if alone else path), path.name if alone else METADATA
    if table not in source.files():
        return ImputeInput(
            dataset, dataset.table.frame(), {name: name for name in run.objects.names}, str(path)
        )
    frame = read_frame(source.read(table), f"{source.path}/{table}")
    chosen = set(dataset.names)
    rows = [inside(name, str(path)) in chosen for name in frame[FILE_NAME]]
    return _joined(dataset, frame.filter(pl.Series(rows)), run, f"{source.path}/{table}")


def _joined(dataset: Dataset, frame: pl.DataFrame, run: RunDirectory, source: str) -> ImputeInput:
    """The table of the user with the cells that `--missing` hid emptied too."""
    headings = _headings(frame, run)
    own = [name for name in frame.columns if name == FILLED or name.startswith("p(")]
    if own:
        raise BadDataError(
            f"{source} has the columns {', '.join(own)}, which tnp impute writes; drop them first"
        )
    known = dataset.table.frame()
    columns = [pl.Series(heading, known[name]) for name, heading in headings.items()]
    return ImputeInput(dataset, frame.with_columns(columns), headings, source)


def _headings(frame: pl.DataFrame, run: RunDirectory) -> dict[str, str]:
    schema = run.objects.schema()
    headings = {name: name for name in run.objects.names}
    for column in frame.columns:
        try:
            headings[resolve(schema, column).name] = column
        except UnknownNameError:
            continue
    return headings


def _check_shape(dataset: Dataset, run: RunDirectory) -> None:
    if dataset.shape != run.objects.shape:
        got, wanted = ("x".join(map(str, shape)) for shape in (dataset.shape, run.objects.shape))
        raise BadDataError(
            f"{dataset.names[0]} is {got} (channels x height x width), the run was trained on {wanted}; "
            "add --resize to bring the images to that size"
        )
