"""Drawing objects from a run and writing them: pictures, a grid, one npz, a manifest."""

import csv
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from tnprior_cli.build import load_model
from tnprior_cli.conditions import Evidence, evidence_of
from tnprior_cli.errors import ImpossibleRequestError
from tnprior_cli.given import Condition, describe
from tnprior_cli.npz import NpzWriter
from tnprior_cli.pictures import Pixels, save_grid, save_png, square_rows
from tnprior_cli.pieces import pieces
from tnprior_cli.rundir import RunDirectory
from tnprior_eval import quantize
from tnprior_models import BestOf, Samples, require
from tnprior_models.layout import SiteLayout

SHOWN, SHOWN_PER_ROW = 64, 12


class Drawn(NamedTuple):
    """A piece of the objects of one condition: x (n, C, H, W) uint8, latents (n, d), codes (n, A)."""

    x: Pixels
    latents: npt.NDArray[np.float32]
    codes: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Request:
    """What to draw: `number` objects for each condition.

    Object i of every condition comes from the same noise, a function of (seed, i): neither the size of a
    piece nor the other conditions change it, and the columns of the grid can be compared; with `best_of` above 1
    it is the one of so many in which the model reads the condition best.
    """

    run: RunDirectory
    conditions: tuple[Condition, ...]
    number: int
    seed: int
    piece: int
    device: str
    best_of: int = 1

    @cached_property
    def evidence(self) -> tuple[Evidence, ...]:
        """What each condition tells the prior."""
        schema = self.run.objects.schema()
        return tuple(evidence_of(condition, schema) for condition in self.conditions)

    @cached_property
    def model(self) -> Any:
        """The run's model, ready to draw from."""
        model = require(load_model(self.run, self.device), Samples)
        return model if self.best_of == 1 else BestOf(model, self.best_of)

    def log_probabilities(self) -> dict[str, float]:
        """log p(condition) in nats of every condition, by its text.

        Raises:
            ImpossibleRequestError: one of them has probability zero; nothing was drawn for any.
        """
        found = {}
        for condition, evidence in zip(self.conditions, self.evidence, strict=True):
            with torch.no_grad():
                value = float(self.model.prior().condition(evidence).log_evidence) if evidence else 0.0
            if value == -np.inf:
                raise ImpossibleRequestError(f"{describe(condition)} has probability zero under this model")
            found[describe(condition)] = value
        return found

    def draw(self, condition: int) -> Iterator[Drawn]:
        """The objects of one condition, piece by piece."""
        layout = SiteLayout(self.model.prior.sites)
        for first, count in pieces(self.number, max(1, self.piece // self.best_of)):
            with torch.no_grad():
                sampled = self.model.sample(
                    count, given=self.evidence[condition], seed=self.seed, first=first
                )
            values = sampled.values.cpu()
            latents, codes = layout.latents_of(values).numpy(), layout.codes_of(values).numpy()
            yield Drawn(quantize(sampled.x).cpu().numpy(), latents, codes)


def write_samples(request: Request, known: Mapping[str, float], folder: Path) -> None:
    """Draws everything that was requested into a folder: images/, grid.png, samples.npz, manifest.csv.

    `samples.npz` holds x (n, C, H, W) uint8, codes (n, A), latents (n, d) and condition (n,), the number of the
    condition; `manifest.csv` the file name, the condition, log p(condition) and the drawn label of every attribute.
    """
    (folder / "images").mkdir()
    objects = request.run.objects
    latents = SiteLayout(request.model.prior.sites).latent_size
    columns = {
        "x": (np.uint8, objects.shape),
        "codes": (np.int64, (len(objects.names),)),
        "latents": (np.float32, (latents,)),
        "condition": (np.int64, ()),
    }
    shown: list[list[Pixels]] = [[] for _ in request.conditions]
    with ExitStack() as stack:
        arrays = NpzWriter(folder / "samples.npz", request.number * len(request.conditions), columns)
        stack.enter_context(arrays)
        file = stack.enter_context((folder / "manifest.csv").open("w", newline="", encoding="utf-8"))
        manifest = _Manifest(file, request, known, folder)
        for c in range(len(request.conditions)):
            for piece in request.draw(c):
                arrays.append(**piece._asdict(), condition=np.full(len(piece.x), c))
                manifest.append(c, piece)
                shown[c].extend(piece.x[: max(0, SHOWN - len(shown[c]))])
    rows = [np.stack(images) for images in shown]
    save_grid(
        square_rows(rows[0]) if len(rows) == 1 else [row[:SHOWN_PER_ROW] for row in rows], folder / "grid.png"
    )


class _Manifest:
    """Numbers the objects, writes their pictures and one line about each."""

    def __init__(self, file: Any, request: Request, known: Mapping[str, float], folder: Path) -> None:
        attributes = request.run.objects.attributes
        self._labels = [item.labels for item in attributes]
        self._heads = [(describe(c), f"{known[describe(c)]:.6f}") for c in request.conditions]
        self._folder, self._count = folder, 0
        self._rows = csv.writer(file, lineterminator="\n")
        self._rows.writerow(["file_name", "given", "log_p_given", *(item.name for item in attributes)])

    def append(self, condition: int, piece: Drawn) -> None:
        """Adds one piece."""
        for image, codes in zip(piece.x, piece.codes, strict=True):
            name = f"images/{self._count:06d}.png"
            save_png(image, self._folder / name)
            drawn = [labels[code] for labels, code in zip(self._labels, codes, strict=True)]
            self._rows.writerow([name, *self._heads[condition], *drawn])
            self._count += 1
