"""What is evaluated, on what, and how thoroughly."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tnprior_cli.attributes import Objects, objects_of
from tnprior_cli.build import build_data, load_model, model_input
from tnprior_cli.config import DataSection
from tnprior_cli.given import Condition
from tnprior_cli.pieces import pieces
from tnprior_cli.rundir import RunDirectory
from tnprior_data import Dataset
from tnprior_models import BestOf

PIECE = 250


@dataclass(frozen=True)
class Effort:
    """How many objects are generated and judged, and with how many samples the bound is computed.

    Args:
        generated: objects generated for every kind of condition.
        bounded: real test objects whose likelihood is bounded; None for all.
        k: importance samples of the bound.
        classifier_steps: most training steps of the judge; None for what the size of the images asks for.
        inception: Inception weights, the word "download", or None for no FID.
        seed: of everything random.
        flip: whether the judge is trained on mirrored images too; None: where the data are faces.
        conditions: conditions on a few attributes to look at closely; none: those that the data suggest.
        best_of: objects drawn for each that is asked to show something, see `BestOf`.
    """

    generated: int
    bounded: int | None
    k: int
    classifier_steps: int | None
    inception: str | None
    seed: int
    flip: bool | None = None
    conditions: tuple[Condition, ...] = ()
    best_of: int = 1


@dataclass(frozen=True)
class Subject:
    """A run with its data and its model."""

    run: RunDirectory
    effort: Effort
    device: str
    say: Callable[[str], None]

    @cached_property
    def train(self) -> Dataset:
        """The training split as training saw it."""
        return self._data("train")

    @cached_property
    def test(self) -> Dataset:
        """The test split; its `truth` holds every known label."""
        return self._data("test")

    @cached_property
    def judged(self) -> Objects:
        """What the judge knows of the objects."""
        return objects_of(self.judged_train)

    @cached_property
    def judged_train(self) -> Dataset:
        """The training split with the attributes that the judge learns.

        Those of the run; where it has none, all of the data set, so that there are features to compare in.
        """
        return self.train if self.names else build_data(self._all_attributes, "train")

    @cached_property
    def judged_test(self) -> Dataset:
        """The test split with the attributes that the judge learns."""
        return self.test if self.names else build_data(self._all_attributes, "test")

    @property
    def _all_attributes(self) -> DataSection:
        return self.run.config.data.model_copy(update={"attributes": None})

    @cached_property
    def model(self) -> Any:
        """The trained model."""
        return load_model(self.run, self.device)

    @cached_property
    def on_request(self) -> Any:
        """What draws objects for a condition: the model, or the best of several of its own."""
        return self.model if self.effort.best_of == 1 else BestOf(self.model, self.effort.best_of)

    @property
    def drawn_so(self) -> dict[str, int]:
        """How objects were drawn for a condition, where it was not once each, for a protocol."""
        return {} if self.effort.best_of == 1 else {"best_of": self.effort.best_of}

    @property
    def names(self) -> tuple[str, ...]:
        """The attributes."""
        return self.run.objects.names

    @property
    def label_counts(self) -> list[int]:
        """The number of labels of every attribute."""
        return self.run.objects.label_counts

    def test_pieces(self, limit: int | None = None) -> Iterator[tuple[slice, tuple[Tensor, Tensor, Tensor]]]:
        """The test images piece by piece, with every label hidden: rows and (x, codes, observed)."""
        for rows, (x, codes, observed) in self.labelled_test_pieces(limit):
            yield rows, (x, torch.zeros_like(codes), torch.zeros_like(observed))

    def labelled_test_pieces(
        self, limit: int | None = None
    ) -> Iterator[tuple[slice, tuple[Tensor, Tensor, Tensor]]]:
        """The test images piece by piece, with every label that is known, hidden or not."""
        total = len(self.test) if limit is None else min(limit, len(self.test))
        for first, count in pieces(total, PIECE):
            rows = slice(first, first + count)
            x, codes, observed = model_input(self.test, rows, self.model)
            truth = self.test.truth
            yield rows, (x, truth.codes[rows].to(codes), truth.observed[rows].to(observed))

    def _data(self, split: str) -> Dataset:
        dataset = build_data(self.run.config.data, split)
        self.run.check_data(dataset)
        return dataset


def classifier_folder() -> Path:
    """Where judges are kept: beside the decoded images, shared by all runs on the same data."""
    from tnprior_data import cache_folder

    return cache_folder() / "classifiers"
