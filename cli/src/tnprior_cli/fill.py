"""The probabilities of the attributes of objects, and joint draws of the missing ones."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tnprior_cli.build import load_model, model_input
from tnprior_cli.pieces import pieces
from tnprior_cli.rundir import RunDirectory
from tnprior_data import Dataset
from tnprior_models import Draws, Imputes, require

PIECE = 256  # objects at a time; fixed, so that one input always has one answer


@dataclass(frozen=True)
class Answer:
    """`probabilities[a]` (n, C_a) of attribute a; certain where the label was known."""

    probabilities: tuple[Tensor, ...]

    @property
    def codes(self) -> Tensor:
        """The most probable code of every cell, (n, A)."""
        return torch.stack([table.argmax(1) for table in self.probabilities], 1)

    @property
    def confidence(self) -> Tensor:
        """The probability of that code, (n, A)."""
        return torch.stack([table.amax(1) for table in self.probabilities], 1)


def fill(run: RunDirectory, dataset: Dataset, *, device: str, seed: int) -> Answer:
    """The probabilities of every label of every attribute of every object."""
    model: Any = require(load_model(run, device), Imputes)
    tables: list[list[Tensor]] = [[] for _ in run.objects.names]
    for first, count in pieces(len(dataset), PIECE):
        batch = model_input(dataset, slice(first, first + count), model)
        with torch.no_grad():
            found = model.impute(*batch, seed=seed)
        for table, piece in zip(tables, found, strict=True):
            table.append(piece.cpu().double())
    return Answer(tuple(torch.cat(table) for table in tables))


def draw_codes(run: RunDirectory, dataset: Dataset, number: int, *, device: str, seed: int) -> Tensor:
    """`number` joint draws of all attributes, (number, n, A); known labels stay as they are."""
    model: Any = require(load_model(run, device), Draws)
    found = []
    for first, count in pieces(len(dataset), PIECE):
        batch = model_input(dataset, slice(first, first + count), model)
        with torch.no_grad():
            found.append(model.draws(*batch, number, seed=seed + first).cpu())
    return torch.cat(found, 1)
