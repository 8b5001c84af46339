"""`tnp fit-prior`: a prior over codes and attributes for a model that is trained already."""

from pathlib import Path
from typing import Annotated

import typer

from tnprior_cli.options import Device, DryRun, Json, Overwrite, Root, Run, Set, speaks
from tnprior_cli.output import Output

Out = Annotated[Path | None, typer.Option("-o", "--out", help="Run directory to write; default RUN-fitted.")]
Missing = Annotated[
    float | None,
    typer.Option("--missing", min=0, max=1, help="Hide this share of the labels (data.missing)."),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of the fit; default the run's own.")]


@speaks
def fit_prior(
    output: Output,
    run: Run,
    out: Out = None,
    missing: Missing = None,
    seed: Seed = None,
    root: Root = None,
    settings: Set = None,
    device: Device = "auto",
    json: Json = False,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
) -> None:
    """Fit a prior over codes and attributes to a trained model, whose networks stay as they are."""
    from tnprior_cli.fitting import fit, plan_fit
    from tnprior_cli.settings import shortcuts

    overrides = shortcuts(missing, seed, root, settings or [])
    target = out or run.with_name(f"{run.resolve().name}-fitted")
    planned = plan_fit(run, target, overrides, device=device, overwrite=overwrite)
    output.table(["", ""], planned.rows(), title=f"fitting a prior to {run}")
    if json:
        output.json(planned.config.model_dump(mode="json"))
    if dry_run:
        output.done([], ["the same without --dry-run"])
        return
    fit(planned, output.say)
    following = [f"tnp sample {target}{planned.objects.example()} -n 64", f"tnp eval {target}"]
    output.done([target / name for name in ("model.safetensors", "README.md")], following)
