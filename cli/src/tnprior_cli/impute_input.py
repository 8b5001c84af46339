"""What is to be filled in: the objects, what is known about them, and the table as the user wrote it."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import torch

import tnprior_data
from tnprior_cli.errors import BadDataError
from tnprior_cli.rundir import RunDirectory
from tnprior_data import Card, Dataset, UnknownNameError, resolve
from tnprior_data.dataset import Records, assemble
from tnprior_data.folder import read_images
from tnprior_data.images import Fit
from tnprior_data.source import open_source
from tnprior_data.table_read import read_frame, table_from_frame

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
        BadDataError: images of another shape than the run's, or a table with one of our own columns in it.
        DataError: whatever else is wrong with the files or the table.
    """
    path = Path(name).expanduser()
    size = run.objects.shape[1] if resize else run.config.data.size
    fit = Fit(size, run.config.data.crop, run.objects.shape[0])
    if _is_name(name):
        found = _data_set(name, run, split or "test", missing, seed, root)
    elif path.suffix.lower() == ".csv":
        found = _csv(path, run, split, missing, seed, fit)
    else:
        found = _folder(path, run, split, missing, seed, fit)
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


def _folder(
    path: Path, run: RunDirectory, split: str | None, missing: float, seed: int, fit: Fit
) -> ImputeInput:
    schema = run.objects.schema()
    dataset = tnprior_data.open_folder(
        path,
        split=split,
        schema=schema,
        missing=missing,
        seed=seed,
        size=fit.size,
        crop=fit.crop,
        channels=fit.channels,
    )
    source = open_source(path)
    if METADATA not in source.files():
        return ImputeInput(
            dataset, dataset.table.frame(), {name: name for name in run.objects.names}, str(path)
        )
    frame = read_frame(source.read(METADATA), f"{path}/{METADATA}")
    if split is not None:
        frame = frame.filter(pl.col("file_name").is_in(list(dataset.names)))
    return _joined(dataset, frame, run, f"{path}/{METADATA}")


def _csv(
    path: Path, run: RunDirectory, split: str | None, missing: float, seed: int, fit: Fit
) -> ImputeInput:
    frame = read_frame(path.read_bytes(), str(path))
    if split is not None:
        if "split" not in frame.columns:
            raise BadDataError(f"{path} has no column 'split', so --split {split} chooses nothing")
        frame = frame.filter(pl.col("split") == split)
    table = table_from_frame(frame, run.objects.schema(), str(path))
    images = read_images(open_source(path.parent), table.names, fit, None)
    records = Records(torch.from_numpy(images), table)
    card = Card(path.stem, f"images and attributes of {path}", "", "", table.schema)
    return _joined(assemble(records, card, "all", None, missing, seed), frame, run, str(path))


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
