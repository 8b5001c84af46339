r"""The little language of `--given`: `male=1,hat=a|b,digit!=3,smile=?`.

A condition is a comma-separated list of terms, each `name=value`, `name=a|b` (one of), `name!=a`, `name!=a|b`
(none of) or `name=?` (explicitly free). A backslash takes the next character literally, so a label may hold
any of `, = | ! ? \`; blanks around a name or a label are dropped unless escaped. A name may appear once.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tnprior_cli.errors import BadDataError, UsageError

Relation = Literal["is", "is not", "free"]
_SPECIAL = ",=|!?\\"


@dataclass(frozen=True)
class Term:
    """What one condition says about one attribute: it is one of `labels`, none of them, or free."""

    name: str
    relation: Relation
    labels: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.relation == "free":
            return f"{_escape(self.name)}=?"
        sign = "=" if self.relation == "is" else "!="
        return _escape(self.name) + sign + "|".join(_escape(label) for label in self.labels)


Condition = tuple[Term, ...]


def parse_given(texts: Iterable[str]) -> Condition:
    r"""The condition that all the texts say together.

    >>> [str(term) for term in parse_given(["male=1, hair=blond|brown", "digit!=3,smile=?"])]
    ['male=1', 'hair=blond|brown', 'digit!=3', 'smile=?']
    >>> parse_given([r"brand=Smith\, Jones \& co"])[0].labels
    ('Smith, Jones & co',)

    Raises:
        UsageError: a term is not of one of the forms, or a name appears twice.
    """
    terms = [_parse_term(piece, text) for text in texts for piece in _pieces(text)]
    return _distinct(terms)


def read_given_file(path: Path) -> tuple[Condition, ...]:
    """One condition per row of a file.

    A `.csv` has attribute names in its first line and a label, a set `a|b`, a negation `!a`, `?` or nothing
    (free) in each cell. Any other file has one `--given` text per line; blank lines and lines that start
    with `#` are skipped.

    Raises:
        BadDataError: the file has no condition in it, or a row is malformed (named by its number).
    """
    rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _text_rows(path)
    conditions = []
    for number, texts in rows:
        try:
            conditions.append(parse_given(texts))
        except UsageError as error:
            raise BadDataError(f"{path}, line {number}: {error}") from error
    if not conditions:
        raise BadDataError(f"{path}: expected one condition per row, found none")
    return tuple(conditions)


def combine(shared: Condition, rows: Sequence[Condition]) -> tuple[Condition, ...]:
    """The terms of `--given` joined to every row of `--given-file`; just the former without a file.

    Raises:
        UsageError: a name appears in both.
    """
    if not rows:
        return (shared,)
    return tuple(_distinct([*shared, *row]) for row in rows)


def require_choice(best_of: int, conditions: Sequence[Condition]) -> None:
    """Nothing, where there is something for `--best-of` to choose by.

    Raises:
        UsageError: every attribute is free.
    """
    if best_of > 1 and all(term.relation == "free" for condition in conditions for term in condition):
        raise UsageError(
            f"--best-of {best_of} has nothing to choose by: expected a condition, as in --given NAME=VALUE"
        )


def describe(condition: Condition) -> str:
    """The condition as one text that `parse_given` reads back; `(nothing)` for the empty one.

    >>> describe(parse_given(["male=1", "hair=blond|brown"]))
    'male=1,hair=blond|brown'
    """
    return ",".join(str(term) for term in condition) or "(nothing)"


def _distinct(terms: Sequence[Term]) -> Condition:
    seen: set[str] = set()
    for term in terms:
        if term.name in seen:
            raise UsageError(
                f"{term.name!r} is given twice; say everything about it in one term, as in {term.name}=a|b"
            )
        seen.add(term.name)
    return tuple(terms)


def _pieces(text: str) -> list[str]:
    pieces = _split(text, ",")
    if len(pieces) == 1 and not pieces[0].strip():
        return []
    return pieces


def _parse_term(piece: str, text: str) -> Term:
    sides = _split(piece, "=", limit=1)
    if len(sides) != 2:
        raise UsageError(f"cannot read {piece.strip()!r} in --given {text!r}; expected name=value, name=a|b, "
                         "name!=value or name=?")  # fmt: skip
    left, right = sides
    negated = _ends_with_bare_bang(left)
    name = _plain(left[:-1] if negated else left)
    if not name:
        raise UsageError(f"a term of --given {text!r} has no name; expected name=value")
    if right.strip() == "?":
        if negated:
            raise UsageError(f"{name}!=? says nothing; write {name}=? to leave it free")
        return Term(name, "free")
    return Term(name, "is not" if negated else "is", _labels(name, right))


def _labels(name: str, text: str) -> tuple[str, ...]:
    labels = tuple(_plain(part) for part in _split(text, "|"))
    if not all(labels):
        raise UsageError(f"{name} has an empty value; write {name}=? to leave it free, or leave it out")
    if len(set(labels)) != len(labels):
        raise UsageError(f"{name} names a value twice: {text.strip()}")
    return labels


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    """Splits at unescaped separators and keeps the escapes."""
    pieces: list[str] = []
    start = position = 0
    while position < len(text):
        if text[position] == "\\":
            position += 2
            continue
        if text[position] == separator and len(pieces) != limit:
            pieces.append(text[start:position])
            start = position + 1
        position += 1
    return [*pieces, text[start:]]


def _ends_with_bare_bang(text: str) -> bool:
    body = text[:-1]
    backslashes = len(body) - len(body.rstrip("\\"))
    return text.endswith("!") and backslashes % 2 == 0


def _plain(text: str) -> str:
    """Drops blanks at the ends, then the escapes."""
    start, stop = 0, len(text)
    while start < stop and text[start].isspace():
        start += 1
    while stop > start and text[stop - 1].isspace() and not _escaped(text, stop - 1):
        stop -= 1
    out, position = [], start
    while position < stop:
        if text[position] == "\\" and position + 1 < stop:
            position += 1
        elif text[position] == "\\":
            raise UsageError(f"a backslash at the end of {text.strip()!r} has nothing to escape")
        out.append(text[position])
        position += 1
    return "".join(out)


def _escaped(text: str, position: int) -> bool:
    before = text[:position]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


def _escape(text: str) -> str:
    escaped = "".join("\\" + character if character in _SPECIAL else character for character in text)
    if escaped[:1].isspace():
        escaped = "\\" + escaped
    if len(text) > 1 and text[-1].isspace():
        escaped = escaped[:-1] + "\\" + escaped[-1]
    return escaped


def _text_rows(path: Path) -> list[tuple[int, list[str]]]:
    lines = enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1)
    return [(number, [line]) for number, line in lines if line.strip() and not line.lstrip().startswith("#")]


def _csv_rows(path: Path) -> list[tuple[int, list[str]]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        rows = []
        for cells in reader:
            if len(cells) != len(header):
                raise BadDataError(
                    f"{path}, line {reader.line_num}: expected {len(header)} cells, found {len(cells)}"
                )
            rows.append((reader.line_num, _csv_terms(header, cells)))
    return rows


def _csv_terms(header: Sequence[str], cells: Sequence[str]) -> list[str]:
    terms = []
    for name, cell in zip(header, cells, strict=True):
        value = cell.strip()
        if not value:
            continue
        sign, value = ("!=", value[1:]) if value.startswith("!") else ("=", value)
        # A comma in a quoted cell belongs to the label; the other marks keep their meaning.
        terms.append(_escape(name.strip()) + sign + "\\,".join(_split(value, ",")))
    return terms
