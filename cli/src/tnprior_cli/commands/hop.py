"""`tnp hop`: the modes of a learned prior, by drawing a few latents at a time anew."""

from pathlib import Path
from typing import Annotated

import typer

from tnprior_cli.options import Device, DryRun, Given, Json, Overwrite, Run, Seed, speaks
from tnprior_cli.output import Output

Trajectories = Annotated[int, typer.Option("-n", "--trajectories", min=1, help="Rows of the picture.")]
Hops = Annotated[int, typer.Option("--hops", min=1, help="Steps after the start.")]
Change = Annotated[
    int | None,
    typer.Option("--change", min=1, help="Latents drawn anew at each hop; default 5, or all of fewer."),
]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="Folder to write; default hops-RUN.")]


@speaks
def hop(
    output: Output,
    run: Run,
    given: Given = None,
    trajectories: Trajectories = 8,
    hops: Hops = 9,
    change: Change = None,
    out: Out = None,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
) -> None:
    """Hop between the prior's modes: random latents drawn anew given all others, a row of images each time."""
    from tnprior_cli.atomic import new_directory, require_free_folder
    from tnprior_cli.given import describe, parse_given
    from tnprior_cli.rundir import open_run

    condition = parse_given(given or [])
    described = open_run(run)
    target = out or Path(f"hops-{run.resolve().name}")
    require_free_folder(target, overwrite=overwrite, ours=_is_ours, noun="an earlier output of tnp hop")

    from tnprior_cli.draw import Request
    from tnprior_cli.prior_views.hop_album import HopRequest

    asked = HopRequest(Request(described, (condition,), trajectories, seed, _PIECE, device), hops, change)
    known = asked.check()
    text = describe(condition)
    output.say(f"log p({text}) = {known[text]:.4f} nats")
    if not dry_run:
        with new_directory(target) as folder:
            asked.write(known, folder)
    if json:
        output.json(
            {
                "run": str(run),
                "given": text,
                "log_probability": known[text],
                "trajectories": trajectories,
                "hops": hops,
                "change": asked.changed,
                "seed": seed,
                "out": str(target),
            }
        )
    if not dry_run:
        wrote = [target / name for name in ("grid.png", "images", "hops.npz", "manifest.csv")]
        output.done(wrote, [f"tnp interpolate {run}"])


_PIECE = 64


def _is_ours(path: Path) -> bool:
    return (path / "manifest.csv").is_file() and (path / "hops.npz").is_file()
