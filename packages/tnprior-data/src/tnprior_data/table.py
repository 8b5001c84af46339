"""Tables of attributes: one row per object, one column per attribute, empty cells where nothing is known."""

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from .errors import TableError, UnknownNameError, listed, unknown
from .schema import Attribute, Schema, select

FILE_NAME = "file_name"


@dataclass(frozen=True, eq=False, repr=False)
class AttributeTable:
    """What is known about n objects: integer codes and a mask of the cells that hold one.

    Args:
        names: (n,) the objects' names (file names), all different.
        schema: (A,) the attributes; code c of column a stands for `schema[a].labels[c]`.
        codes: (n, A) int64; set to 0 where nothing was observed, so that no hidden label can leak.
        observed: (n, A) bool.
        notes: remarks of the reader for the user, such as columns that were left out.

    Raises:
        TableError: shapes that do not fit, a code outside its labels, or a name that stands twice.

    >>> hat = Attribute("hat", ("0", "1"))
    >>> table = AttributeTable.from_rows({"a.png": {"hat": "1"}, "b.png": {}}, (hat,))
    >>> table.row(0), table.row(1)
    ({'hat': '1'}, {'hat': None})
    """

    names: tuple[str, ...]
    schema: Schema
    codes: Int64[Tensor, "n A"]
    observed: Bool[Tensor, "n A"]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = (len(self.names), len(self.schema))
        if self.codes.shape != shape or self.observed.shape != shape:
            raise TableError(
                f"{shape[0]} names and {shape[1]} attributes need codes and observed of shape {shape}; got "
                f"{tuple(self.codes.shape)} and {tuple(self.observed.shape)}"
            )
        check_unique(self.names)
        codes = torch.where(self.observed, self.codes, 0)
        for attribute, column in zip(self.schema, codes.unbind(1), strict=True):
            if column.numel() and not 0 <= int(column.min()) <= int(column.max()) < len(attribute.labels):
                raise TableError(
                    f"attribute {attribute.name!r}: codes must lie in 0..{len(attribute.labels) - 1}; got "
                    f"{int(column.min())}..{int(column.max())}"
                )
        object.__setattr__(self, "codes", codes)

    @classmethod
    def from_rows(
        cls, rows: Mapping[str, Mapping[str, str | None]], schema: Sequence[Attribute]
    ) -> "AttributeTable":
        """Build a table from labels: {object name: {attribute name: label or None}}; absent means missing.

        Raises:
            TableError: a label or an attribute that the schema does not have, with its row.
        """
        for number, (name, row) in enumerate(rows.items(), 1):
            try:
                select(schema, row)
            except UnknownNameError as error:
                raise TableError(f"row {number} ({name}): {error}") from None
        cells = {
            a.name: pl.Series(a.name, [row.get(a.name) for row in rows.values()], dtype=pl.String)
            for a in schema
        }
        return cls.from_columns(tuple(rows), tuple(schema), cells)

    @classmethod
    def from_columns(
        cls, names: tuple[str, ...], schema: Schema, columns: Mapping[str, pl.Series], source: str = "table"
    ) -> "AttributeTable":
        """Build a table from columns of labels, null where missing; an absent column is missing altogether.

        Raises:
            TableError: an unknown label, with its row, column, closest match and the allowed list.
        """
        codes = torch.zeros(len(names), len(schema), dtype=torch.int64)
        observed = torch.zeros(len(names), len(schema), dtype=torch.bool)
        for a, attribute in enumerate(schema):
            if attribute.name not in columns:
                continue
            column = columns[attribute.name]
            coded = _encode(column, attribute, names, source)
            observed[:, a] = torch.from_numpy(coded.is_not_null().to_numpy().copy())
            codes[:, a] = torch.from_numpy(coded.fill_null(0).to_numpy().copy())
        return cls(names, schema, codes, observed)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        known = int(self.observed.sum())
        names = listed(a.name for a in self.schema) or "no attributes"
        return f"AttributeTable({len(self)} rows, {known} of {self.observed.numel()} cells known; {names})"

    def row(self, index: int) -> dict[str, str | None]:
        """The labels of one object, None where missing."""
        return {
            a.name: a.labels[int(code)] if known else None
            for a, code, known in zip(self.schema, self.codes[index], self.observed[index], strict=True)
        }

    def column(self, word: str) -> list[str | None]:
        """The labels of one attribute, None where missing.

        Raises:
            UnknownNameError: no such attribute.
        """
        (a,) = select(self.schema, (word,))
        labels = self.schema[a].labels
        pairs = zip(self.codes[:, a].tolist(), self.observed[:, a].tolist(), strict=True)
        return [labels[code] if known else None for code, known in pairs]

    def select(self, words: Iterable[str]) -> "AttributeTable":
        """The same objects with the named attributes only, in the given order.

        Raises:
            UnknownNameError: no such attribute.
        """
        columns = list(select(self.schema, words))
        schema = tuple(self.schema[a] for a in columns)
        return AttributeTable(
            self.names, schema, self.codes[:, columns], self.observed[:, columns], self.notes
        )

    def subset(self, rows: Int64[Tensor, " m"]) -> "AttributeTable":
        """The given rows, in the given order."""
        names = tuple(self.names[i] for i in rows.tolist())
        return AttributeTable(names, self.schema, self.codes[rows], self.observed[rows], self.notes)

    def frame(self) -> pl.DataFrame:
        """A polars frame of strings: `file_name`, then one column per attribute, null where missing."""
        columns = [pl.Series(FILE_NAME, self.names, dtype=pl.String)]
        for attribute, codes, known in zip(
            self.schema, self.codes.unbind(1), self.observed.unbind(1), strict=True
        ):
            rows = pl.Series(codes.numpy()).set(pl.Series(~known.numpy()), None)
            columns.append(pl.Series(attribute.name, attribute.labels, dtype=pl.String).gather(rows))
        return pl.DataFrame(columns)


def format_table(table: AttributeTable) -> str:
    """The table as CSV text: `file_name` and the labels as they are, an empty cell where missing.

    >>> print(
    ...     format_table(AttributeTable.from_rows({"a.png": {"n": "3"}}, (Attribute("n", ("3", "4")),))),
    ...     end="",
    ... )
    file_name,n
    a.png,3
    """
    return table.frame().write_csv(quote_style="necessary")


def write_table(table: AttributeTable, path: str | Path) -> None:
    """Write a table as CSV, see `format_table`.

    The file appears whole or not at all: it is written to a temporary name and renamed.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.

    >>> table = AttributeTable.from_rows(
    ...     {"a.png": {"n": "None"}, "b.png": {}}, (Attribute("n", ("None", "3")),)
    ... )
    >>> folder = tempfile.mkdtemp()
    >>> write_table(table, Path(folder) / "t.csv")
    >>> (Path(folder) / "t.csv").read_text().splitlines()
    ['file_name,n', 'a.png,None', 'b.png,']
    """
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(format_table(table))
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def check_unique(names: Sequence[str], source: str = "table") -> None:
    """Raise a TableError when a name stands twice, with its rows (counted from 1)."""
    seen: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if name in seen:
            raise TableError(
                f"{source}: {FILE_NAME} {name!r} stands twice, in rows {seen[name]} and {number}; "
                "keep one row per file"
            )
        seen[name] = number


def _encode(column: pl.Series, attribute: Attribute, names: tuple[str, ...], source: str) -> pl.Series:
    """The integer codes of a column of labels, null where missing."""
    codes = dict(zip(attribute.labels, range(len(attribute.labels)), strict=True))
    distinct = column.drop_nulls().unique(maintain_order=True).to_list()
    wrong = next((label for label in distinct if label not in codes), None)
    if wrong is not None:
        row = column.to_list().index(wrong)
        kind = f"label of attribute {attribute.name!r}"
        raise TableError(
            f"{source}: row {row + 1} ({names[row]}), column {column.name!r}: "
            + unknown(kind, wrong, attribute.labels)
        )
    return column.replace_strict(list(codes), list(codes.values()), return_dtype=pl.Int64)
