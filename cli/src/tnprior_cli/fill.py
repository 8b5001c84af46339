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


def load_imputer(run: RunDirectory, device: str, *, draws: bool) -> Any:
    """The model of a run, which must fill in labels and, if asked, draw them jointly.

    Raises:
        CapabilityError: it is of a kind that does not.
    """
    model = require(load_model(run, device), Imputes)
    return require(model, Draws) if draws else model


def fill(model: Any, dataset: Dataset, *, seed: int) -> Answer:
    """The probabilities of every label of every attribute of every object, by a model that `Imputes`."""
    tables: list[list[Tensor]] = [[] for _ in range(dataset.codes.shape[1])]
    for first, count in pieces(len(dataset), PIECE):
        batch = model_input(dataset, slice(first, first + count), model)
        with torch.no_grad():
            found = model.impute(*batch, seed=seed)
        for table, piece in zip(tables, found, strict=True):
            table.append(piece.cpu().double())
    return Answer(tuple(torch.cat(table) for table in tables))


def draw_codes(model: Any, dataset: Dataset, number: int, *, seed: int) -> Tensor:
    """`number` joint draws of all attributes, (number, n, A), by a model that `Draws`; known labels stay."""
    found = []
    for first, count in pieces(len(dataset), PIECE):
        batch = model_input(dataset, slice(first, first + count), model)
        with torch.no_grad():
            found.append(model.draws(*batch, number, seed=seed + first).cpu())
    return torch.cat(found, 1)
