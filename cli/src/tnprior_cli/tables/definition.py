"""What a table file says: columns, rows, and the numbers of the paper beside them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tnprior_cli.errors import UsageError
from tnprior_cli.matching import unknown
from tnprior_cli.tables import table_names, table_text
from tnprior_cli.tables.quantities import check_quantity, is_comparable
from tnprior_cli.toml import read_toml

Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
Text = Annotated[str, Field(min_length=1)]


class Part(BaseModel):
    """A part of a table file: frozen, nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Column(Part):
    """A number of every row.

    Without a `value` only the paper has it, because ours is measured otherwise (an Inception FID, say).
    """

    name: Slug
    title: Text
    value: Annotated[str | None, Field(description="its name in report.json")] = None
    percent: Annotated[bool, Field(description="a share, shown in per cent; the paper's numbers are")] = False
    digits: Annotated[int, Field(ge=0, le=6)] = 1

    @property
    def scale(self) -> float:
        """What our number is multiplied by."""
        return 100.0 if self.percent else 1.0

    def show(self, number: float) -> str:
        """The number with the column's digits."""
        return f"{number:.{self.digits}f}"


class Row(Part):
    """A model to train and measure, or a prior to fit to the model of another row and measure."""

    name: Slug
    label: Text
    train: Annotated[str | None, Field(description="a recipe or a TOML file")] = None
    fit: Annotated[str | None, Field(description="the row to whose model a prior is fitted")] = None
    settings: Annotated[tuple[str, ...], Field(description="as after -s")] = ()
    paper: Annotated[Mapping[str, float], Field(description="published numbers by column")] = {}
    shown: Annotated[bool, Field(description="measured, with a line in the table")] = True

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.train is None) == (self.fit is None):
            raise ValueError("a row needs either train or fit")
        return self


class Table(Part):
    """A published table, or several of one paper."""

    title: Text
    source: Text
    notes: tuple[Text, ...] = ()
    evaluate: Annotated[tuple[str, ...], Field(description="options of tnp eval, for every row")] = ()
    columns: Annotated[tuple[Column, ...], Field(min_length=1)]
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]

    def row(self, name: str) -> Row:
        """The row of that name; raises `KeyError` when there is none."""
        return {row.name: row for row in self.rows}[name]

    def foundations(self) -> frozenset[str]:
        """The rows to whose models priors are fitted."""
        return frozenset(row.fit for row in self.rows if row.fit is not None)


@dataclass(frozen=True)
class Definition:
    """A checked table, its short name, and the folder that its files are seen from (None in the package)."""

    name: str
    folder: Path | None
    table: Table


def load_definition(source: str) -> Definition:
    """The table of a name, or of a file.

    Raises:
        UsageError: there is no such table, or what is wrong in it.
    """
    path = Path(source)
    if source not in table_names() and (path.is_file() or path.suffix == ".toml"):
        if not path.is_file():
            raise UsageError(f"no such table: {path}; tables are {', '.join(table_names())}")
        return Definition(path.stem, path.parent, check_table(read_toml(path), source))
    import tomllib

    return Definition(source, None, check_table(tomllib.loads(table_text(source)), source))


def check_table(content: Mapping[str, Any], source: str) -> Table:
    """The content of a table file.

    Raises:
        UsageError: names every key that is unknown and every value that cannot be.
    """
    try:
        table = Table.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{source}: " + "; ".join(map(_problem, error.errors()))) from error
    try:
        _check_columns(table)
        _check_rows(table)
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from error
    return table


def _check_columns(table: Table) -> None:
    _check_distinct("column", (column.name for column in table.columns))
    for column in table.columns:
        published = any(column.name in row.paper for row in table.rows)
        if column.value is None and not published:
            raise UsageError(f"column {column.name!r} has no value of ours and no number of the paper")
        if column.value is not None and published and not is_comparable(check_quantity(column.value)):
            raise UsageError(
                f"column {column.name!r} shows our {column.value}, which no paper has; give published numbers a "
                "column of their own, without a value"
            )
        if column.value is not None:
            check_quantity(column.value)


def _check_rows(table: Table) -> None:
    _check_distinct("row", (row.name for row in table.rows))
    trained = [row.name for row in table.rows if row.train is not None]
    for row in table.rows:
        for name in row.paper:
            if name not in [column.name for column in table.columns]:
                raise UsageError(
                    unknown(f"column in row {row.name!r}", name, [c.name for c in table.columns])
                )
        if row.fit is not None and row.fit not in trained:
            raise UsageError(unknown(f"row to fit in row {row.name!r}", row.fit, trained))


def _check_distinct(kind: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UsageError(f"two {kind}s are called {name!r}; give one another name")
        seen.add(name)


def _problem(item: Any) -> str:
    name = ".".join(str(piece) for piece in item["loc"])
    if item["type"] == "extra_forbidden":
        kinds: dict[str, type[Part]] = {"columns": Column, "rows": Row}
        fields = kinds[item["loc"][0]].model_fields if len(item["loc"]) > 2 else Table.model_fields
        return f"{name}: " + unknown("key", str(item["loc"][-1]), fields)
    if item["type"] == "missing":
        return f"{name} is missing"
    message = item["msg"].removeprefix("Value error, ")
    return f"{name or 'the table'}: {message[:1].lower()}{message[1:]}"
