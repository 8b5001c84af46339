"""Reading and writing the TOML of configurations; the standard library only reads it."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tnprior_cli.errors import BadDataError, UsageError

NONE = "none"  # TOML has no null; this text stands for it where a setting may be absent


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a file.

    Raises:
        UsageError: the file is not TOML (with the line).
        BadDataError: the file is not text.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise BadDataError(f"{path} is not a text file; expected a configuration in TOML") from error


def parse_value(text: str) -> Any:
    """A TOML value where the text is one, else the text itself, so that quotes are optional.

    >>> parse_value("1e-3"), parse_value("[1, 2]"), parse_value("digits"), parse_value("'3'")
    (0.001, [1, 2], 'digits', '3')
    """
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return table["value"] if set(table) == {"value"} else text


def write_toml(tables: Mapping[str, Any]) -> str:
    """The table as TOML that `tomllib` reads back to the same values (None becomes the text "none").

    >>> print(write_toml({"seed": 0, "data": {"name": "digits", "missing": 0.3, "root": None}}), end="")
    seed = 0
    <BLANKLINE>
    [data]
    name = "digits"
    missing = 0.3
    root = "none"
    """
    plain = {key: value for key, value in tables.items() if not isinstance(value, Mapping)}
    blocks = ["".join(f"{key} = {_value(value)}\n" for key, value in plain.items())] if plain else []
    for key, table in tables.items():
        if isinstance(table, Mapping):
            lines = "".join(f"{name} = {_value(value)}\n" for name, value in table.items())
            blocks.append(f"[{key}]\n{lines}")
    return "\n".join(blocks)


def _value(value: Any) -> str:
    if value is None:
        return json.dumps(NONE)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    raise TypeError(f"no TOML form for {type(value).__name__}")
