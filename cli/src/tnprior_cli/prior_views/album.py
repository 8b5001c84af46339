"""Rows of decoded site values on disk: pictures, a labelled grid, one npz, a manifest."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from tnprior_cli.npz import Column, NpzWriter
from tnprior_cli.pictures import Pixels, save_png
from tnprior_cli.prior_views.decoded import decode_values
from tnprior_cli.prior_views.labelled_grid import Sheet, save_labelled_grid
from tnprior_cli.rundir import RunDirectory
from tnprior_models.layout import SiteLayout

SHOWN_ROWS, SHOWN_COLUMNS = 32, 24


class Strip(NamedTuple):
    """One row: site values (steps, K), more arrays of it, and for each step what the manifest adds."""

    values: Tensor
    arrays: Mapping[str, Any]
    notes: Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Album:
    """What the rows have in common.

    Args:
        run: whose attributes they have.
        model: decodes them.
        archive: name of the npz.
        row: what a row is called.
        step: what a column is called.
        columns: the text over each column of the grid.
        rows: how many there are.
        heading: over the grid.
        arrays: dtype and shape of what a row has besides x, latents and codes.
        same: what every line of the manifest repeats.
    """

    run: RunDirectory
    model: Any
    archive: str
    row: str
    step: str
    columns: Sequence[str]
    rows: int
    heading: str
    arrays: Mapping[str, Column] = field(default_factory=dict)
    same: Mapping[str, str] = field(default_factory=dict)


def write_album(album: Album, strips: Iterable[Strip], folder: Path) -> None:
    """Writes images/, grid.png, the npz and manifest.csv into a folder.

    The npz holds, with a row for each strip, x (rows, steps, C, H, W) uint8, latents (rows, steps, d), codes
    (rows, steps, A) and the album's own arrays; the manifest has a line for each picture.
    """
    (folder / "images").mkdir()
    layout, steps = SiteLayout.of(album.model.prior).cpu(), len(album.columns)
    columns: dict[str, Column] = {
        "x": (np.uint8, (steps, *album.run.objects.shape)),
        "latents": (np.float32, (steps, layout.latent_size)),
        "codes": (np.int64, (steps, len(layout.categorical))),
        **album.arrays,
    }
    shown: list[Pixels] = []
    with ExitStack() as stack:
        arrays = stack.enter_context(NpzWriter(folder / album.archive, album.rows, columns))
        file = stack.enter_context((folder / "manifest.csv").open("w", newline="", encoding="utf-8"))
        manifest = csv.writer(file, lineterminator="\n")
        for number, strip in enumerate(strips):
            x, values = decode_values(album.model, strip.values), strip.values.cpu()
            latents, codes = layout.latents_of(values).numpy(), layout.codes_of(values).numpy()
            arrays.append(x=x, latents=latents, codes=codes, **strip.arrays)
            if number == 0:
                manifest.writerow(_header(album, strip))
            for step, image in enumerate(x):
                name = f"images/{number:04d}-{step:03d}.png"
                save_png(image, folder / name)
                manifest.writerow(
                    [name, number, step, *_cells(album, strip.notes[step], codes[step].tolist())]
                )
            if number < SHOWN_ROWS:
                shown.append(x)
    _save_grid(album, shown, folder / "grid.png")


def _header(album: Album, strip: Strip) -> list[str]:
    return ["file_name", album.row, album.step, *strip.notes[0], *album.same, *album.run.objects.names]


def _cells(album: Album, note: Mapping[str, str], codes: Sequence[int]) -> list[str]:
    attributes = album.run.objects.attributes
    labels = [item.labels[code] for item, code in zip(attributes, codes, strict=True)]
    return [*note.values(), *album.same.values(), *labels]


def _save_grid(album: Album, shown: Sequence[Pixels], path: Path) -> None:
    steps = len(album.columns)
    chosen = np.unique(np.linspace(0, steps - 1, min(steps, SHOWN_COLUMNS)).round().astype(int))
    sheet = Sheet(
        album.heading, [str(number) for number in range(len(shown))], [album.columns[step] for step in chosen]
    )
    save_labelled_grid([row[chosen] for row in shown], sheet, path)
