"""What a callback sees of a run, and the callbacks' protocol."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from tnprior_models.training.config import TrainConfig
from tnprior_models.training.data import TensorData


class StopReason(enum.StrEnum):
    """Why a run ended."""

    EPOCHS = "all epochs done"
    EARLY = "no improvement"
    TIME = "time limit"
    SIGNAL = "interrupted"
    ERROR = "failed"


@dataclass
class Progress:
    """Where a run is; saved with every checkpoint.

    `epoch` counts completed epochs, `batch` the updates done in the present one, `step` all updates,
    `seconds` the time spent over all resumes, `stale` the validations since the last improvement; `started` is
    when the run first began (UTC).
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    seconds: float = 0.0
    best: float | None = None
    best_epoch: int | None = None
    stale: int = 0
    started: str = ""


@dataclass
class Run:
    """A run as its callbacks see it, to be read and not written.

    Attributes:
        model: the model in training.
        product: the model to sample from: the averaged one if there is one, else `model`.
        config, data, directory: what the trainer was given.
        progress: where the run is.
        steps_per_epoch: updates in an epoch.
        latest: the newest known value of every term, by `objective/term`.
        metrics: the last completed epoch's numbers, as in `metrics.jsonl`.
    """

    model: nn.Module
    product: nn.Module
    config: TrainConfig
    data: TensorData
    directory: Path | None
    progress: Progress
    steps_per_epoch: int
    latest: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def total_steps(self) -> int:
        """Updates in the whole run."""
        return self.steps_per_epoch * self.config.epochs


class Callback(Protocol):
    """Hooks into a run; derive from it and override what you need.

    All but `refit` run in rank 0 alone. The hooks around training and epochs may draw random numbers, the
    run's own streams are put back after them; `after_step` must not.

    >>> class Losses(Callback):
    ...     def after_epoch(self, run):
    ...         self.seen = run.metrics
    """

    def before_training(self, run: Run) -> None:
        """After a checkpoint was restored, before the first update."""
        return None

    def refit(self, run: Run) -> Iterable[Tensor]:
        """At the beginning of an epoch, in every process; returns the parameters it overwrote.

        Their optimiser states and averages start afresh, and every process takes rank 0's values.
        """
        return ()

    def before_epoch(self, run: Run) -> None:
        """Before the first update of an epoch, but not when a run is resumed within it."""
        return None

    def after_step(self, run: Run) -> None:
        """After every update."""
        return None

    def after_epoch(self, run: Run) -> None:
        """After the validation of an epoch, before its checkpoint; `run.metrics` has the numbers."""
        return None

    def after_training(self, run: Run, reason: StopReason) -> None:
        """Once at the end, whatever ended the run; close files here."""
        return None
