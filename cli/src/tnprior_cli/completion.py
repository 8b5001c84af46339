"""What the shell completes; reads names only, never a weight."""

from pathlib import Path

import typer

from tnprior_cli.attributes import read_objects
from tnprior_cli.errors import CliError
from tnprior_cli.recipes import recipe_names


def complete_given(ctx: typer.Context, incomplete: str) -> list[str]:
    """Attribute names after the start or a comma, and the labels of one after its `=`."""
    # While the option has no value yet, the parser leaves the words before it unassigned.
    words = [ctx.params.get("run"), *ctx.args]
    run = next((word for word in words if word is not None), None)
    if run is None:
        return []
    try:
        objects = read_objects(Path(run))
    except (CliError, OSError):
        return []
    done, comma, last = incomplete.rpartition(",")
    name, equals, value = last.partition("=")
    if not equals:
        return [f"{done}{comma}{item}=" for item in objects.names if item.startswith(last)]
    label = value.rpartition("|")[2]
    start = incomplete[: len(incomplete) - len(label)]
    labels = {item.name: item.labels for item in objects.attributes}.get(name.rstrip("!"), ())
    return [start + item for item in labels if item.startswith(label)]


def complete_setting(incomplete: str) -> list[str]:
    """The dotted names of the settings, for `-s`."""
    from tnprior_cli.settings import setting_names

    return [f"{name}=" for name in setting_names() if name.startswith(incomplete)]


def complete_recipe(incomplete: str) -> list[str]:
    """The names of the recipes."""
    return [name for name in recipe_names() if name.startswith(incomplete)]
