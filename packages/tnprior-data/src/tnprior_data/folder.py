"""Any folder or zip of images with a `metadata.csv`: a `file_name` column, other columns are attributes."""

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import polars as pl
import torch

from .cache import cached
from .card import Card
from .dataset import Dataset, Records, assemble, check_split
from .errors import DataError, MissingFilesError, TableError, listed
from .images import SUFFIXES, Bytes, Fit, decode_all
from .infer import check_usable, infer_schema
from .schema import Schema
from .source import Source, inside, open_source
from .streams import row_keys
from .table import FILE_NAME, AttributeTable
from .table_read import SPLIT, read_frame, table_from_frame

METADATA = "metadata.csv"
TEST_SHARE = 0.1


def open_folder(
    path: str | Path,
    *,
    split: str | None = "train",
    attributes: Iterable[str] | None = None,
    schema: Schema | None = None,
    missing: float = 0.0,
    seed: int = 0,
    size: int | None = None,
    crop: int | None = None,
    channels: int | None = None,
    cache: Path | None = None,
) -> Dataset:
    """Open a folder or zip with `metadata.csv`; an empty cell means missing, labels stay as they are.

    Args:
        path: the folder or the zip, `file_name` being relative to its `metadata.csv`; or any CSV beside images.
        split: a value of the `split` column; without that column a fixed tenth of the files, chosen by
            their names, is "test" and the rest "train". None takes everything.
        attributes: which columns, by name or alias; None for all usable ones. Columns with one label or
            with more than 64 are left out and listed in `Dataset.notes`; naming one here is an error.
        schema: the attributes to read, when they are known already (filling in missing attributes with a
            trained model); then `metadata.csv` may be absent and every image is unlabelled.
        missing, seed: fraction of the labels to hide, and the seed that chooses them.
        size, crop, channels: cut the centred square of `crop` pixels, resize it to `size`, convert to 1 (gray)
            or 3 (colour) channels. With `size` alone the square is as large as it can be.
        cache: where decoded images are kept; None for `cache_folder()`.

    Raises:
        MissingFilesError: no folder, no `metadata.csv`, or images that it names and that are not there.
        TableError: a bad table (see `read_table`).
        DataError: images that are damaged, or of different sizes without `size`.
        UnknownNameError: no such split or attribute.

    >>> import tempfile
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("a.png", "b.png"):
    ...     Image.new("L", (8, 8)).save(folder / name)
    >>> _ = (folder / "metadata.csv").write_text("file_name,hat\\na.png,1\\nb.png,0\\n")
    >>> open_folder(folder, split=None).truth.column("hat")
    ['1', '0']
    """
    wanted = None if attributes is None else tuple(attributes)
    records, card = read_folder(Path(path), split, wanted, schema, Fit(size, crop, channels), cache)
    return assemble(records, card, split or "all", wanted, missing, seed)


def read_folder(
    path: Path,
    split: str | None,
    wanted: tuple[str, ...] | None,
    schema: Schema | None,
    fit: Fit,
    cache: Path | None,
) -> tuple[Records, Card]:
    """The images, the table and the card of a folder or zip; arguments and errors as for `open_folder`."""
    path = path.expanduser()
    alone = path.suffix.lower() == ".csv"
    source = open_source(path.parent if alone else path)
    metadata = path.name if alone else METADATA
    where = f"{source.path}/{metadata}"
    frame = _metadata(source, metadata, None if alone else schema)
    table = _table(frame, schema, wanted, where)
    _check_files(source, table.names, where)
    if not alone:
        table = _add_notes(table, _unlisted(source, table.names))
    splits, members = _splits(frame, table.names, where)
    if split is not None:
        check_split(split, splits, str(path))
        table = table.subset(
            torch.tensor([i for i, member in enumerate(members) if member == split], dtype=torch.int64)
        )
    images = read_images(source, table.names, fit, cache)
    return Records(torch.from_numpy(images), table), _card(path, table.schema, splits)


def read_images(source: Source, names: Sequence[str], fit: Fit, cache: Path | None) -> Bytes:
    """Decode the named files of a source to (n, C, H, W) uint8, through the cache.

    Raises:
        DataError: no names, or as `decode_all`.
    """
    if not names:
        raise DataError(f"{source.path}: there are no images to read")

    def decode() -> Bytes:
        return decode_all(source.read, names, fit, str(source.path))

    return cached(decode, len(names), cache, lambda: (source.fingerprint(names), fit))


def _metadata(source: Source, metadata: str, schema: Schema | None) -> pl.DataFrame:
    """The table beside the images; without one, and with a known schema, all images unlabelled."""
    if source.has(metadata):
        frame = read_frame(source.read(metadata), f"{source.path}/{metadata}")
        if FILE_NAME in frame.columns:
            where = str(source.path)
            names = [None if name is None else inside(name, where) for name in frame[FILE_NAME]]
            frame = frame.with_columns(pl.Series(FILE_NAME, names, dtype=pl.String))
        return frame
    files = source.files()
    images = [name for name in files if _is_image(name)]
    if schema is not None and images:
        return pl.DataFrame({FILE_NAME: images})
    deeper = [name for name in files if PurePosixPath(name).name == metadata]
    hint = f" (there is one in {listed(deeper)}: name that folder)" if deeper else ""
    raise MissingFilesError(
        f"{source.path}: no {metadata}{hint}; expected a CSV with the column {FILE_NAME!r} and one column per "
        f"attribute beside the images ({len(images)} images found)"
    )


def _table(
    frame: pl.DataFrame, schema: Schema | None, wanted: tuple[str, ...] | None, source: str
) -> AttributeTable:
    if schema is not None:
        return table_from_frame(frame, schema, source)
    schema, excluded = infer_schema(frame)
    check_usable(wanted or (), schema, excluded, source)
    table = table_from_frame(frame.drop(list(excluded)), schema, source)
    if wanted is not None:
        return table
    return _add_notes(
        table, tuple(f"{source}: left out column {name!r}: {why}" for name, why in excluded.items())
    )


def _splits(frame: pl.DataFrame, names: tuple[str, ...], source: str) -> tuple[tuple[str, ...], list[str]]:
    """The names of the splits, "train" first, and the split of every row."""
    if SPLIT not in frame.columns:
        rank = np.argsort(np.argsort(row_keys(f"split\x1f{name}" for name in names)))
        count = max(1, round(TEST_SHARE * len(names))) if len(names) > 1 else 0
        return ("train", "test"), ["test" if r < count else "train" for r in rank]
    members = frame[SPLIT].to_list()
    if None in members:
        raise TableError(f"{source}: row {members.index(None) + 1} has an empty {SPLIT}")
    distinct = sorted(set(members), key=lambda name: (name != "train", name != "test", name))
    return tuple(distinct), members


def _check_files(source: Source, names: tuple[str, ...], metadata: str) -> None:
    """Raise for files that the table names and that are not there."""
    absent = [name for name in names if not source.has(name)]
    if absent:
        raise MissingFilesError(f"{metadata} names {len(absent)} files that are not there: {listed(absent)}")


def _unlisted(source: Source, names: tuple[str, ...]) -> tuple[str, ...]:
    """A note about images that the table does not name."""
    unlisted = sorted(name for name in set(source.files()).difference(names) if _is_image(name))
    if not unlisted:
        return ()
    return (f"{source.path}: {len(unlisted)} images have no row and were left out: {listed(unlisted)}",)


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _add_notes(table: AttributeTable, notes: tuple[str, ...]) -> AttributeTable:
    return AttributeTable(table.names, table.schema, table.codes, table.observed, (*table.notes, *notes))


def _card(path: Path, schema: Schema, splits: tuple[str, ...]) -> Card:
    return Card(
        name=path.resolve().stem if path.is_file() else path.resolve().name,
        description=f"images and attributes of {path}",
        licence="as stated by whoever made the files",
        citation="",
        schema=schema,
        splits=splits,
        files=(METADATA,),
    )
