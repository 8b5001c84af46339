"""`tnp interpolate`: ways along a learned prior, between samples or from one condition to another."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tnprior_cli.completion import complete_given
from tnprior_cli.errors import UsageError
from tnprior_cli.options import Device, DryRun, Given, Json, Overwrite, Run, Seed, speaks
from tnprior_cli.output import Output

if TYPE_CHECKING:
    from tnprior_cli.given import Condition

Before = Annotated[
    list[str] | None,
    typer.Option(
        "--from",
        metavar="NAME=VALUE,...",
        help="The condition that every path leaves, in the language of --given.",
        autocompletion=complete_given,
    ),
]
After = Annotated[
    list[str] | None,
    typer.Option(
        "--to",
        metavar="NAME=VALUE,...",
        help="The condition that it leads to, with the same noise.",
        autocompletion=complete_given,
    ),
]
Paths = Annotated[int, typer.Option("-n", "--paths", min=1, help="Rows of the picture.")]
Steps = Annotated[int, typer.Option("--steps", min=2, help="Images of a path, both ends included.")]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="Folder to write; default paths-RUN.")]


@speaks
def interpolate(
    output: Output,
    run: Run,
    given: Given = None,
    before: Before = None,
    after: After = None,
    paths: Paths = 8,
    steps: Steps = 11,
    out: Out = None,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
) -> None:
    """Interpolate along the prior, between samples or --from one condition --to another; every step is a sample."""
    from tnprior_cli.atomic import new_directory, require_free_folder
    from tnprior_cli.given import parse_given
    from tnprior_cli.rundir import open_run

    condition, ends = parse_given(given or []), _ends(before, after)
    described = open_run(run)
    target = out or Path(f"paths-{run.resolve().name}")
    require_free_folder(
        target, overwrite=overwrite, ours=_is_ours, noun="an earlier output of tnp interpolate"
    )

    from tnprior_cli.prior_views.path_album import Change, PathRequest

    change = None if ends is None else Change(*ends)
    asked = PathRequest(described, condition, change, paths, steps, seed, _PIECE, device)
    known = asked.check()
    for text, value in known.items():
        output.say(f"log p({text}) = {value:.4f} nats")
    if not dry_run:
        with new_directory(target) as folder:
            asked.write(known, folder)
    if json:
        conditions = [{"given": text, "log_probability": value} for text, value in known.items()]
        numbers = {"paths": paths, "steps": steps, "seed": seed}
        output.json({"run": str(run), **numbers, "out": str(target), "conditions": conditions})
    if not dry_run:
        wrote = [target / name for name in ("grid.png", "images", "paths.npz", "manifest.csv")]
        output.done(wrote, [f"tnp marginals {run}"])


_PIECE = 64


def _ends(before: list[str] | None, after: list[str] | None) -> "tuple[Condition, Condition] | None":
    from tnprior_cli.given import parse_given

    if before is None and after is None:
        return None
    leaving, reaching = (parse_given(texts or []) for texts in (before, after))
    if not leaving or not reaching:
        raise UsageError("--from and --to belong together, as in --from smiling=0 --to smiling=1")
    return leaving, reaching


def _is_ours(path: Path) -> bool:
    return (path / "manifest.csv").is_file() and (path / "paths.npz").is_file()
