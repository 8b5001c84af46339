"""A data set as a folder that anyone can open: PNGs and a metadata.csv."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

from tnprior_cli.pictures import save_png
from tnprior_data import Dataset
from tnprior_data.table import write_table


def write_folder(dataset: Dataset, folder: Path) -> None:
    """Writes images/NAME.png and metadata.csv, with empty cells where a label is missing or hidden."""
    (folder / "images").mkdir()
    names = tuple(f"images/{PurePosixPath(name).stem}.png" for name in dataset.names)
    for name, image in zip(names, dataset.x.numpy(), strict=True):
        save_png(image, folder / name)
    write_table(replace(dataset.table, names=names), folder / "metadata.csv")
