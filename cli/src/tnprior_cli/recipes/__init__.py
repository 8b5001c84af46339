"""The recipes that come with the package, by name."""

from importlib.resources import files
from typing import Any

from tnprior_cli.errors import UsageError
from tnprior_cli.matching import unknown


def recipe_names() -> tuple[str, ...]:
    """The names of all recipes, sorted."""
    entries = (entry.name for entry in files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in entries if name.endswith(".toml")))


def recipe_text(name: str) -> str:
    """The TOML of a recipe.

    Raises:
        UsageError: there is no recipe of that name.
    """
    if name not in recipe_names():
        raise UsageError(unknown("recipe", name, recipe_names()))
    return files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8")


def recipe(name: str) -> dict[str, Any]:
    """The table of a recipe, as written (its `base` not yet joined in)."""
    import tomllib

    return tomllib.loads(recipe_text(name))
