"""From a recipe or file and `-s` overrides to a checked `RunConfig`."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from tnprior_cli.config import RunConfig
from tnprior_cli.errors import UsageError
from tnprior_cli.matching import unknown
from tnprior_cli.recipes import recipe, recipe_names
from tnprior_cli.toml import parse_value, read_toml

Table = dict[str, Any]


def resolve(source: str, overrides: Iterable[str] = ()) -> RunConfig:
    """The configuration that a recipe name or a TOML file and the overrides describe.

    A file may say `base = "digits"` (or the path of another file, seen from its own folder) and hold only
    what differs from it.

    Raises:
        UsageError: there is no such recipe or file, a key or a value is not allowed, or bases go in a circle.
    """
    return check(override(load(source), overrides), source)


def load(source: str, folder: Path | None = None, seen: tuple[str, ...] = ()) -> Table:
    """The table of a recipe or a file, joined to its bases."""
    path = _config_path(source, folder)
    key = str(path.resolve()) if path else source
    if key in seen:
        raise UsageError(f"the bases of {seen[0]} go in a circle: {' -> '.join((*seen, key))}")
    table = read_toml(path) if path else recipe(source)
    base = table.pop("base", None)
    if base is None:
        return table
    return join(load(str(base), path.parent if path else None, (*seen, key)), table)


def join(base: Mapping[str, Any], change: Mapping[str, Any]) -> Table:
    """The base with the changes laid over it, table by table.

    >>> join({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}})
    {'a': {'x': 1, 'y': 3}}
    """
    joined = dict(base)
    for key, value in change.items():
        old = joined.get(key)
        joined[key] = join(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return joined


def override(table: Table, overrides: Iterable[str]) -> Table:
    """The table with `section.key=value` texts laid over it; the last of two for one key wins.

    Raises:
        UsageError: a text is not of that form.
    """
    for text in overrides:
        name, equals, value = text.partition("=")
        keys = [piece.strip() for piece in name.split(".")]
        if not equals or not all(keys):
            raise UsageError(f"cannot read -s {text!r}; expected KEY=VALUE, as in -s train.lr=1e-3")
        change: Any = parse_value(value.strip())
        for key in reversed(keys):
            change = {key: change}
        table = join(table, change)
    return table


def shortcuts(missing: float | None, seed: int | None, root: Path | None, more: Iterable[str]) -> list[str]:
    """The overrides that `--missing`, `--seed` and `--root` stand for, and those given as `-s` after them."""
    short = {"data.missing": missing, "seed": seed, "data.root": None if root is None else str(root)}
    return [*(f"{key}={value}" for key, value in short.items() if value is not None), *more]


def check(table: Mapping[str, Any], source: str) -> RunConfig:
    """The table as a configuration.

    Raises:
        UsageError: names every key that is unknown (with the closest) and every value that is out of range.
    """
    try:
        return RunConfig.model_validate(table)
    except ValidationError as error:
        problems = [_problem(item) for item in error.errors()]
        raise UsageError(f"{source}: " + "; ".join(problems)) from error


def changed_keys(old: RunConfig, new: RunConfig) -> tuple[str, ...]:
    """The dotted names of the settings in which two configurations differ."""
    before, after = (dict(flatten(json.loads(config.model_dump_json()))) for config in (old, new))
    return tuple(key for key in after if before.get(key) != after[key])


def flatten(table: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """The leaves of nested tables with their dotted names."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def setting_names() -> tuple[str, ...]:
    """The dotted names of all settings."""
    return tuple(_names(RunConfig, ""))


def _names(model: type[BaseModel], prefix: str) -> Iterable[str]:
    for name, field in model.model_fields.items():
        inner = next(
            (kind for kind in (field.annotation, *get_args(field.annotation)) if _is_section(kind)), None
        )
        if inner is not None:
            yield from _names(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _config_path(source: str, folder: Path | None) -> Path | None:
    """The file that is meant, or None for a recipe: recipes have no slash and no suffix."""
    path = Path(source)
    if source in recipe_names() and not path.is_file():
        return None
    here = folder / path if folder and not path.is_absolute() else path
    if here.is_dir() and (here / "config.toml").is_file():
        return here / "config.toml"
    if here.is_file():
        return here
    if "/" in source or path.suffix:
        raise UsageError(f"no such configuration: {here}; recipes are {', '.join(recipe_names())}")
    raise UsageError(unknown("recipe", source, recipe_names()) + ", or the path of a .toml file")


def _problem(item: Any) -> str:
    name = ".".join(str(piece) for piece in item["loc"])
    if item["type"] == "extra_forbidden":
        parent = name.rpartition(".")[0]
        known = setting_names()
        siblings = [key for key in known if key.rpartition(".")[0] == parent]
        everywhere = unknown("setting", name, known if not parent else siblings or known)
        return everywhere
    if item["type"] == "missing":
        return f"{name} is missing"
    message = item["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if isinstance(item["input"], Mapping):  # about settings that do not go together, not about one of them
        return f"{name}: {message}" if name else message
    return f"{name} = {item['input']!r}: {message}"
