"""`tnp train`: from a recipe or configuration to a run directory."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tnprior_cli.completion import complete_recipe
from tnprior_cli.options import Device, DryRun, Json, Overwrite, Root, Set, speaks
from tnprior_cli.output import Output

if TYPE_CHECKING:
    from tnprior_cli.training_plan import Plan

Source = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG|RECIPE",
        help="A recipe (see tnp recipes), a TOML file, or a run directory.",
        autocompletion=complete_recipe,
    ),
]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="Run directory to write; default runs/NAME.")]
Missing = Annotated[
    float | None,
    typer.Option("--missing", min=0, max=1, help="Hide this share of the labels (data.missing)."),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of everything random (seed).")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue the run where it stopped; -s train.epochs=N extends it.")
]
Devices = Annotated[int, typer.Option("--devices", min=1, help="Processes on this machine, one per device.")]


@speaks
def train(
    output: Output,
    source: Source,
    out: Out = None,
    missing: Missing = None,
    seed: Seed = None,
    root: Root = None,
    settings: Set = None,
    resume: Resume = False,
    device: Device = "auto",
    devices: Devices = 1,
    json: Json = False,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
) -> None:
    """Train a model on partly labelled data."""
    from tnprior_cli.settings import shortcuts
    from tnprior_cli.training_plan import Wish, plan, rank

    output.quiet = output.quiet or bool(rank())
    overrides = tuple(shortcuts(missing, seed, root, settings or []))
    wish = Wish(source, out, overrides, resume=resume, overwrite=overwrite)
    planned = plan(wish, device=device, devices=devices)
    output.table(
        ["", ""], planned.rows(), title=f"{'resuming' if planned.resumed else 'training'} {planned.path}"
    )
    if json and not rank():
        output.json(planned.config.model_dump(mode="json"))
    if dry_run:
        output.done([], ["the same without --dry-run"])
    else:
        _run(planned, output)


def _run(planned: "Plan", output: Output) -> None:
    from tnprior_cli.progress import Speech
    from tnprior_cli.rundir import open_run
    from tnprior_cli.runfiles import write_card
    from tnprior_cli.training import run_training
    from tnprior_cli.training_plan import rank

    planned.prepare()
    run_training(planned, Speech.of(output))
    if rank():
        return
    write_card(open_run(planned.path))
    following = [
        f"tnp sample {planned.path}{planned.objects.example()} -n 64",
        f"tnp eval {planned.path}",
    ]
    output.done([planned.path / name for name in ("model.safetensors", "README.md", "samples")], following)
