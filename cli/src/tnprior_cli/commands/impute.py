"""`tnp impute`: fill in the missing attributes of objects, with probabilities."""

from pathlib import Path
from typing import Annotated

import typer

from tnprior_cli.options import Device, DryRun, Json, Overwrite, Root, Run, Seed, speaks
from tnprior_cli.output import Output

Input = Annotated[
    str,
    typer.Argument(
        metavar="INPUT",
        help="A folder or zip with metadata.csv (or only images), a CSV with file_name, or a data set's name.",
    ),
]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="CSV to write; default imputed-RUN.csv.")]
Draws = Annotated[int, typer.Option("--draws", min=0, help="Also draw this many complete tables jointly.")]
Threshold = Annotated[
    float, typer.Option("--threshold", min=0, max=1, help="Leave a cell empty below this probability.")
]
Split = Annotated[
    str | None, typer.Option("--split", help="Only this split; default: test of a data set, all of a folder.")
]
Missing = Annotated[
    float,
    typer.Option("--missing", min=0, max=1, help="Hide this share of the known labels first, to try it out."),
]
Resize = Annotated[
    bool, typer.Option("--resize", help="Bring images of another size to the size of the run.")
]


@speaks
def impute(
    output: Output,
    run: Run,
    input: Input,
    out: Out = None,
    draws: Draws = 0,
    threshold: Threshold = 0.0,
    split: Split = None,
    missing: Missing = 0.0,
    root: Root = None,
    resize: Resize = False,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
) -> None:
    """Fill in the empty cells of an attribute table from the objects, with probabilities."""
    from tnprior_cli.atomic import require_free
    from tnprior_cli.rundir import open_run

    described = open_run(run)
    target = out or Path(f"imputed-{run.resolve().name}.csv")
    drawn = target.with_name(f"{target.stem}.draws{target.suffix}") if draws else None
    for path in filter(None, (target, drawn)):
        require_free(path, overwrite=overwrite, ours=Path.is_file, noun="a file")

    from tnprior_cli.fill import draw_codes, fill, load_imputer
    from tnprior_cli.impute_input import read_input
    from tnprior_cli.impute_table import count_cells, drawn_table, filled_table, write_csv

    model = load_imputer(described, device, draws=draws > 0)
    asked = read_input(input, described, split=split, missing=missing, seed=seed, root=root, resize=resize)
    for note in asked.dataset.notes:
        output.warn(note)
    answer = fill(model, asked.dataset, seed=seed)
    counts = count_cells(asked, answer, threshold)
    output.say(counts.text())
    if json:
        output.json(
            {"run": str(run), "input": input, "out": str(target), "threshold": threshold, **counts.numbers()}
        )
    if dry_run:
        return
    if drawn:
        codes = draw_codes(model, asked.dataset, draws, seed=seed)
        write_csv(drawn_table(asked, codes), drawn)
    write_csv(filled_table(asked, answer, threshold), target)
    output.done([target, *filter(None, [drawn])], [f"tnp eval {run}"])
