"""The options that several commands share, each declared once, and the decorator every command wears."""

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from tnprior_cli.completion import complete_given, complete_setting
from tnprior_cli.output import Output

Run = Annotated[Path, typer.Argument(help="A run directory, as written by `tnp train`.", metavar="RUN")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
Device = Annotated[
    str, typer.Option("-d", "--device", help="auto, cpu, cuda or cuda:N; auto takes a GPU if there is one.")
]
BatchSize = Annotated[
    int, typer.Option("--batch-size", min=1, help="Objects at a time; bounds memory, changes no result.")
]
Given = Annotated[
    list[str] | None,
    typer.Option(
        "--given",
        metavar="NAME=VALUE,...",
        help="What the objects must have: male=1,hat=a|b,digit!=3,smile=? (the rest is free). Repeatable.",
        autocompletion=complete_given,
    ),
]
BestOf = Annotated[
    int,
    typer.Option(
        "--best-of",
        min=1,
        metavar="K",
        help="Draw K objects for each and keep the one in which the model itself reads the condition best.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier output at the same place.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, show the plan, write nothing.")]
Json = Annotated[bool, typer.Option("--json", help="The answer as JSON on stdout.")]
Root = Annotated[
    Path | None, typer.Option("--root", help="Folder of the data files, for data sets that are not embedded.")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "-s",
        "--set",
        metavar="KEY=VALUE",
        help="Override one setting, as in -s train.lr=1e-3.",
        autocompletion=complete_setting,
    ),
]

_Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Only errors and warnings on stderr.")]
_Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="More detail; the traceback of an error.")]
_NoColor = Annotated[bool, typer.Option("--no-color", help="No colours on stderr.")]
_WORDS = (("quiet", _Quiet), ("verbose", _Verbose), ("no_color", _NoColor))


SPEAKER: ContextVar[Output] = ContextVar("SPEAKER")
"""The output of the present call; whoever starts the command knows from it whether `-v` was given."""


def speaks(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command `-q`, `-v` and `--no-color` and hands it the `Output` they describe as first argument."""
    signature = inspect.signature(command)
    own = list(signature.parameters.values())[1:]
    words = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in _WORDS
    ]

    @wraps(command)
    def spoken(**values: Any) -> None:
        output = SPEAKER.get(Output())
        output.quiet = values.pop("quiet")
        output.verbose = values.pop("verbose")
        output.color = not values.pop("no_color")
        command(output, **values)

    spoken.__signature__ = signature.replace(parameters=[*own, *words])  # type: ignore[attr-defined]
    spoken.__annotations__ = {item.name: item.annotation for item in [*own, *words]}
    return spoken
