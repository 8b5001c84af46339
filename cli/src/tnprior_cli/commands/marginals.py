"""`tnp marginals`: exact two-dimensional marginals of a learned prior."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tnprior_cli.errors import UsageError
from tnprior_cli.options import Device, DryRun, Given, Json, Overwrite, Run, Seed, speaks
from tnprior_cli.output import Output

Pairs = Annotated[
    list[str] | None,
    typer.Option(
        "--pairs",
        metavar="Z:Z,...",
        help="Pairs of latents, as in z0:z1,z2:z3; default: those that depend most on each other. Repeatable.",
    ),
]
Number = Annotated[
    int | None, typer.Option("-n", "--number", min=1, help="How many pairs, where none is named; default 6.")
]
Points = Annotated[int, typer.Option("--points", min=8, max=1024, help="Points of the grid for each latent.")]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="Folder to write; default marginals-RUN.")]


@speaks
def marginals(
    output: Output,
    run: Run,
    pairs: Pairs = None,
    number: Number = None,
    given: Given = None,
    points: Points = 97,
    out: Out = None,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
) -> None:
    """Draw exact densities of pairs of latents; with --given the conditional ones beside them."""
    from tnprior_cli.atomic import new_directory, require_free_folder
    from tnprior_cli.given import parse_given
    from tnprior_cli.rundir import open_run

    condition, named = parse_given(given or []), _pairs(pairs)
    if named and number is not None:
        raise UsageError("--pairs names the pairs; leave -n out")
    described = open_run(run)
    target = out or Path(f"marginals-{run.resolve().name}")
    require_free_folder(target, overwrite=overwrite, ours=_is_ours, noun="an earlier output of tnp marginals")

    from tnprior_cli.draw import Request
    from tnprior_cli.prior_views.marginal_sheet import MarginalRequest

    conditions = ((), condition) if condition else ((),)
    request = Request(described, conditions, number=0, seed=seed, piece=1, device=device)
    asked = MarginalRequest(request, named, number or _USUAL_NUMBER, points)
    known = asked.check()
    for text, value in known.items():
        output.say(f"log p({text}) = {value:.4f} nats")
    if not dry_run:
        with new_directory(target) as folder:
            asked.write(folder)
        _show(output, asked.rows)
    if json:
        rows = [] if dry_run else asked.rows
        said = [{"given": text, "log_probability": value} for text, value in known.items()]
        output.json({"run": str(run), "seed": seed, "out": str(target), "conditions": said, "pairs": rows})
    if not dry_run:
        names = ("marginals.png", "marginals.csv", "marginals.npz")
        output.done([target / name for name in names], [f"tnp hop {run}"])


_USUAL_NUMBER = 6


def _pairs(texts: Sequence[str] | None) -> tuple[tuple[str, str], ...] | None:
    """The pairs that were named, each once."""
    pieces = [piece.strip() for text in texts or () for piece in text.split(",")]
    found = []
    for piece in pieces:
        first, colon, second = (part.strip() for part in piece.partition(":"))
        if not (colon and first and second) or first == second:
            raise UsageError(f"cannot read the pair {piece!r}; expected two latents, as in z0:z1")
        found.append((first, second))
    return tuple(dict.fromkeys(found)) or None


def _show(output: Output, rows: Sequence[Mapping[str, Any]]) -> None:
    columns = ["pair", "given", "correlation", "information, nats"]
    cells = [
        [f"{r['first']}:{r['second']}", str(r["given"]), f"{r['correlation']:.3f}", f"{r['information']:.3f}"]
        for r in rows
    ]
    output.table(columns, cells)


def _is_ours(path: Path) -> bool:
    return (path / "marginals.png").is_file() and (path / "marginals.npz").is_file()
