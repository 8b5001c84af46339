"""Finding the attributes of a table whose schema nobody wrote down."""

from collections.abc import Iterable

import polars as pl

from .aliases import with_known_aliases
from .errors import DataError, UnknownNameError
from .schema import Attribute, Schema, fold, resolve
from .table import FILE_NAME
from .table_read import SPLIT

MOST_LABELS = 64


def infer_schema(frame: pl.DataFrame) -> tuple[Schema, dict[str, str]]:
    """The usable columns as attributes, and the reason for every column that is not one.

    Labels are the distinct non-empty cells as they are, in numeric order if all are numbers, else sorted.
    A column with one label says nothing; one with more than 64 is a name or a number, not a category.
    """
    schema: list[Attribute] = []
    excluded: dict[str, str] = {}
    for name in frame.columns:
        if name in (FILE_NAME, SPLIT):
            continue
        labels = frame[name].drop_nulls().unique().to_list()
        if len(labels) == 0:
            excluded[name] = "every cell is empty"
        elif len(labels) == 1:
            excluded[name] = f"it has one label only, {labels[0]!r}"
        elif len(labels) > MOST_LABELS:
            excluded[name] = f"it has {len(labels)} different labels, more than {MOST_LABELS}"
        else:
            schema.append(Attribute(name, in_order(labels)))
    return with_known_aliases(schema), excluded


def check_usable(words: Iterable[str], schema: Schema, excluded: dict[str, str], source: str) -> None:
    """Raise for a wanted attribute that is not usable, with the reason.

    Raises:
        DataError: the column was excluded.
        UnknownNameError: there is no such column.
    """
    reasons = {fold(name): (name, reason) for name, reason in excluded.items()}
    for word in words:
        try:
            resolve(schema, word)
        except UnknownNameError:
            if fold(word) not in reasons:
                raise
            name, reason = reasons[fold(word)]
            raise DataError(f"{source}: column {name!r} cannot be an attribute: {reason}") from None


def in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels in numeric order if all are numbers, else sorted.

    >>> in_order(["10", "9", "-1"]), in_order(["red", "10", "blue"])
    (('-1', '9', '10'), ('10', 'blue', 'red'))
    """
    labels = sorted(labels)
    try:
        return tuple(sorted(labels, key=_finite))
    except ValueError:
        return tuple(labels)


def _finite(label: str) -> float:
    number = float(label)
    if number - number != 0.0:
        raise ValueError(label)
    return number
