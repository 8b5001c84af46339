"""Reading attribute tables from CSV, with errors that name the row and the column."""

import csv
import difflib
import io
from collections import Counter
from pathlib import Path

import polars as pl

from .errors import TableError, UnknownNameError, listed, unknown
from .schema import Attribute, Schema, fold, resolve
from .table import FILE_NAME, AttributeTable, check_unique

SPLIT = "split"


def read_table(path: str | Path, schema: Schema) -> AttributeTable:
    """Read a CSV with a `file_name` column and attribute columns under a known schema.

    An empty cell means missing, an absent column means missing altogether, a column may be headed by an
    alias, and the column `split` and columns the schema does not have are left out and listed in `notes`.

    Raises:
        TableError: no such file, not a CSV, no `file_name`, an empty or repeated file name, an unknown label
            (with row, column, closest match and the allowed list), or a column whose heading looks like a
            misspelt attribute.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "t.csv"
    >>> _ = path.write_text("file_name,hat\\na.png,1\\nb.png,\\n")
    >>> read_table(path, (Attribute("hat", ("0", "1")),)).column("hat")
    ['1', None]
    """
    source = str(path)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise TableError(f"cannot read the table {source}: {error.strerror or error}") from None
    return table_from_frame(read_frame(data, source), schema, source)


def table_from_frame(frame: pl.DataFrame, schema: Schema, source: str) -> AttributeTable:
    """The table that a frame of strings (see `read_frame`) holds under a known schema."""
    names = file_names(frame, source)
    columns: dict[str, pl.Series] = {}
    extra: list[str] = []
    for heading in frame.columns:
        if heading in (FILE_NAME, SPLIT):
            continue
        try:
            attribute = resolve(schema, heading)
        except UnknownNameError as error:
            if _means_opposite(heading, schema):
                raise TableError(f"{source}: column {heading!r}: {error}") from None
            extra.append(heading)
            continue
        if attribute.name in columns:
            raise TableError(
                f"{source}: the columns {columns[attribute.name].name!r} and {heading!r} both stand for "
                f"attribute {attribute.name!r}; keep one"
            )
        columns[attribute.name] = frame[heading]
    _check_misspelt(extra, [a for a in schema if a.name not in columns], source)
    table = AttributeTable.from_columns(names, schema, columns, source)
    notes = (f"{source}: columns without a known attribute: {listed(extra)}",) if extra else ()
    return AttributeTable(table.names, table.schema, table.codes, table.observed, notes)


def read_frame(data: bytes, source: str) -> pl.DataFrame:
    """Parse CSV into a frame of strings, null where a cell is empty; no label is interpreted.

    Raises:
        TableError: not UTF-8, no header, a heading twice, or a row with another number of cells.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError(f"{source}: expected CSV in UTF-8; byte {error.start} is not") from None
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as error:
        raise TableError(f"{source}: not a CSV: {error}") from None
    headings = _headings(rows, source)
    for number, row in enumerate(rows[1:], 1):
        if len(row) != len(headings):
            raise TableError(
                f"{source}: row {number} ({row[0]}) has {len(row)} cells; the header has {len(headings)}"
            )
    cells = [[cell or None for cell in row] for row in rows[1:]]
    return pl.DataFrame(cells, schema=dict.fromkeys(headings, pl.String), orient="row")


def _headings(rows: list[list[str]], source: str) -> list[str]:
    if not rows:
        raise TableError(f"{source}: expected a header row with {FILE_NAME!r}; the table is empty")
    headings = rows[0]
    repeated = [heading for heading, count in Counter(headings).items() if count > 1]
    if repeated:
        raise TableError(f"{source}: the header names these columns twice: {listed(map(repr, repeated))}")
    if "" in headings:
        raise TableError(f"{source}: column {headings.index('') + 1} has no heading")
    return headings


def file_names(frame: pl.DataFrame, source: str) -> tuple[str, ...]:
    """The `file_name` column, checked.

    Raises:
        TableError: no such column, an empty cell in it, or a name that stands twice.
    """
    if FILE_NAME not in frame.columns:
        raise TableError(
            f"{source}: {unknown('column', FILE_NAME, frame.columns)}; one must be {FILE_NAME!r}"
        )
    names = frame[FILE_NAME].to_list()
    if None in names:
        raise TableError(f"{source}: row {names.index(None) + 1} has an empty {FILE_NAME}")
    check_unique(names, source)
    return tuple(names)


def _check_misspelt(extra: list[str], absent: list[Attribute], source: str) -> None:
    """An unknown heading that nearly is an absent attribute is a typing error, not a column to skip."""
    words = {fold(word): a.name for a in absent for word in (a.name, *a.aliases)}
    for heading in extra:
        close = difflib.get_close_matches(fold(heading), list(words), n=1, cutoff=0.75)
        if close:
            raise TableError(
                f"{source}: column {heading!r} is not an attribute: did you mean {words[close[0]]!r}? "
                f"Rename it, or drop it. Attributes: {listed(a.name for a in absent)}"
            )


def _means_opposite(heading: str, schema: Schema) -> bool:
    return any(fold(heading) in map(fold, attribute.opposites) for attribute in schema)
