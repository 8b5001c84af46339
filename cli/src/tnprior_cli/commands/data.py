"""`tnp data`: the data sets, their files, and what is in them."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tnprior_cli.options import Json, Overwrite, Root, Seed, speaks
from tnprior_cli.output import Output, jsonable
from tnprior_cli.recipes import recipe_names

data = typer.Typer(name="data", help="List, download, inspect and export data sets.", no_args_is_help=True)
Name = Annotated[
    str, typer.Argument(metavar="NAME|PATH", help="A data set, or a folder or zip with metadata.csv.")
]
Missing = Annotated[float, typer.Option("--missing", min=0, max=1, help="Hide this share of the labels.")]
Split = Annotated[str, typer.Option("--split", help="Which part.")]
Limit = Annotated[int | None, typer.Option("-n", "--number", min=1, help="Only the first so many objects.")]
_SHOWN = 5  # pairs of dependent attributes
Out = Annotated[Path, typer.Option("-o", "--out", help="Folder to write.")]


@data.command("list")
@speaks
def list_(output: Output, json: Json = False) -> None:
    """List the data sets that come with a loader."""
    import tnprior_data

    cards = [tnprior_data.card(name) for name in tnprior_data.names()]
    if json:
        rows = {c.name: {"description": c.description, "licence": c.licence, "files": c.files} for c in cards}
        output.json(jsonable(rows))
        return
    width = max(len(card.name) for card in cards)
    for card in cards:
        output.data(f"{card.name:<{width}}  {card.description}")
    output.done([], ["tnp data inspect digits"])


@data.command("download")
@speaks
def download(output: Output, name: Name, root: Root = None) -> None:
    """Fetch the files of a data set, checked; embedded ones have none."""
    import tnprior_data

    card = tnprior_data.card(name)
    for split in card.splits:
        dataset = tnprior_data.load(name, root=root, split=split, download=True)
        output.say(f"{name} {split}: {len(dataset)} objects, files complete")
    where = f" --root {root}" if root else ""
    output.done([], [f"tnp data inspect {name}{where}"])


@data.command("inspect")
@speaks
def inspect(
    output: Output,
    name: Name,
    root: Root = None,
    split: Split = "train",
    missing: Missing = 0.0,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Show what is in a data set: shape, attributes, how often each label occurs, what is missing."""
    import tnprior_data

    dataset = tnprior_data.load(name, root=root, split=split, missing=missing, seed=seed)
    found = tnprior_data.summary(dataset)
    if json:
        output.json(jsonable(asdict(found)))
    else:
        channels, height, width = found.shape
        output.data(f"{found.name} {split}: {found.n} images of {channels}x{height}x{width}")
        output.data(f"licence: {dataset.card.licence}")
        for item in found.attributes:
            counts = ", ".join(f"{label}: {count}" for label, count in item.counts.items())
            also = f" (also {', '.join(item.aliases)})" if item.aliases else ""
            output.data(f"{item.name}{also}  missing {item.missing_rate:.1%}  {counts}")
        for pair in found.dependences[:_SHOWN]:
            output.data(f"{pair.first} and {pair.second} share {pair.nats:.3f} nats")
    for note in found.notes:
        output.warn(note)
    output.done([], [_training_command(name, found.shape[0], root)])


def _training_command(name: str, channels: int, root: Path | None) -> str:
    """The recipe of that name, or the one of such images with the data set in its place."""
    place = [] if root is None else ["--root", str(root)]
    if name in recipe_names():
        return shlex.join(["tnp", "train", name, *place])
    base = "faces-ttlp" if channels == 3 else "mnist"
    return shlex.join(["tnp", "train", base, "-s", f"data.name={name}", *place, "-o", "runs/mine"])


@data.command("export")
@speaks
def export(
    output: Output,
    name: Name,
    out: Out,
    root: Root = None,
    split: Split = "test",
    number: Limit = None,
    missing: Missing = 0.0,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Write a data set as a folder of PNGs with metadata.csv, hidden labels as empty cells."""
    import tnprior_data
    from tnprior_cli.atomic import new_directory, require_free_folder
    from tnprior_cli.export import write_folder

    require_free_folder(
        out, overwrite=overwrite, ours=lambda path: (path / "metadata.csv").is_file(), noun="such a folder"
    )
    dataset = tnprior_data.load(name, root=root, split=split, missing=missing, seed=seed)
    with new_directory(out) as folder:
        write_folder(dataset.subset(range(min(number or len(dataset), len(dataset)))), folder)
    output.done([out / "images", out / "metadata.csv"], [f"tnp impute RUN {out} -o filled.csv"])
