"""`tnp sample`: objects for any subset of the attributes."""

from pathlib import Path
from typing import Annotated

import typer

from tnprior_cli.options import BatchSize, BestOf, Device, DryRun, Given, Json, Overwrite, Run, Seed, speaks
from tnprior_cli.output import Output

GivenFile = Annotated[
    Path | None,
    typer.Option(
        "--given-file", help="One condition per row: a text of --given per line, or a CSV of labels."
    ),
]
Number = Annotated[int, typer.Option("-n", "--number", min=1, help="How many objects per condition.")]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="Folder to write; default samples-RUN.")]


@speaks
def sample(
    output: Output,
    run: Run,
    given: Given = None,
    given_file: GivenFile = None,
    number: Number = 64,
    best_of: BestOf = 1,
    out: Out = None,
    seed: Seed = 0,
    batch_size: BatchSize = 256,
    device: Device = "auto",
    json: Json = False,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
) -> None:
    """Generate objects given any subset of the attributes, with log p(condition)."""
    from tnprior_cli.atomic import new_directory, require_free_folder
    from tnprior_cli.given import combine, parse_given, read_given_file, require_choice
    from tnprior_cli.rundir import open_run

    rows = read_given_file(given_file) if given_file else ()
    conditions = combine(parse_given(given or []), rows)
    require_choice(best_of, conditions)
    described = open_run(run)
    target = out or Path(f"samples-{run.resolve().name}")
    require_free_folder(target, overwrite=overwrite, ours=_is_ours, noun="an earlier output of tnp sample")

    from tnprior_cli.draw import Request, write_samples

    request = Request(described, conditions, number, seed, batch_size, device, best_of)
    known = request.log_probabilities()
    for text, value in known.items():
        output.say(f"log p({text}) = {value:.4f} nats")
    if not dry_run:
        with new_directory(target) as folder:
            write_samples(request, known, folder)
    if json:
        found = [{"given": text, "log_probability": value} for text, value in known.items()]
        output.json(
            {"run": str(run), "number": number, "best_of": best_of, "seed": seed, "out": str(target)}
            | {"conditions": found}
        )
    if not dry_run:
        wrote = [target / name for name in ("grid.png", "images", "samples.npz", "manifest.csv")]
        output.done(wrote, [f"tnp eval {run}"])


def _is_ours(path: Path) -> bool:
    return (path / "manifest.csv").is_file() and (path / "samples.npz").is_file()
