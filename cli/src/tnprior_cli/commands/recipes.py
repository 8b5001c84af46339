"""`tnp recipes`: the configurations that come with the package."""

from typing import Annotated

import typer

from tnprior_cli.completion import complete_recipe
from tnprior_cli.options import Json, speaks
from tnprior_cli.output import Output
from tnprior_cli.recipes import recipe, recipe_names, recipe_text

Name = Annotated[
    str | None, typer.Argument(help="Show this recipe.", metavar="[NAME]", autocompletion=complete_recipe)
]


@speaks
def recipes(output: Output, name: Name = None, json: Json = False) -> None:
    """List the recipes, or print one as TOML to start your own from."""
    if name is None:
        _list(output, json)
    elif json:
        from tnprior_cli.settings import resolve

        output.json(resolve(name).model_dump(mode="json"))
    else:
        output.data(recipe_text(name))
        output.done([], [f"tnp recipes {name} > mine.toml; tnp train mine.toml"])


def _list(output: Output, json: bool) -> None:
    table = {name: str(recipe(name).get("description", "")) for name in recipe_names()}
    if json:
        output.json(table)
        return
    width = max(map(len, table))
    for name, description in table.items():
        output.data(f"{name:<{width}}  {description}")
    output.done([], ["tnp train digits --missing 0.3"])
