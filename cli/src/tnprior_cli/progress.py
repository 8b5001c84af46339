"""How a training run speaks: a bar with loss and time left on a terminal, one plain line per epoch elsewhere."""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from tnprior_cli.output import Output
from tnprior_models.training import Callback, StopReason
from tnprior_models.training.run import Run

PATIENCE = 30.0  # seconds between two lines within an epoch that takes long


@dataclass(frozen=True)
class Speech:
    """How much is said, and how; plain data, so that it can be handed to another process."""

    quiet: bool
    color: bool
    terminal: bool

    @classmethod
    def of(cls, output: Output) -> "Speech":
        """The speech of a command."""
        return cls(output.quiet, output.color, sys.stderr.isatty())


class Progress(Callback):
    """Tells the user on stderr where a run is."""

    def __init__(self, speech: Speech) -> None:
        self._speech = speech
        self._output = Output(quiet=speech.quiet, color=speech.color)
        self._bars: Bars | None = None
        self._task = TaskID(0)
        self._spoke = time.monotonic()

    def before_training(self, run: Run) -> None:
        """Starts the bar, or says where a resumed run goes on."""
        if run.progress.step and run.progress.step < run.total_steps:
            self._output.say(f"going on after epoch {run.progress.epoch}, update {run.progress.step}")
        if self._speech.terminal and not self._speech.quiet:
            self._bars = Bars(*_columns(), console=self._output.console(), transient=False)
            self._task = self._bars.add_task("", total=run.total_steps, completed=run.progress.step, loss="")
            self._bars.start()

    def after_step(self, run: Run) -> None:
        """Moves the bar; without one, a line when nothing was said for long."""
        if self._bars is not None:
            self._bars.update(
                self._task, completed=run.progress.step, description=_where(run), loss=_loss(run.latest)
            )
        elif time.monotonic() - self._spoke > PATIENCE:
            done = run.progress.batch / run.steps_per_epoch
            self._say(f"{_where(run)}, {done:.0%} of it, {_loss(run.latest)}")

    def after_epoch(self, run: Run) -> None:
        """The epoch's numbers on one line."""
        if self._bars is None:
            epoch, epochs = run.progress.epoch, run.config.epochs
            self._say(f"epoch {epoch}/{epochs}  {_numbers(run.metrics)}  {run.progress.seconds:.0f} s")

    def after_training(self, run: Run, reason: StopReason) -> None:
        """Stops the bar and says why the run ended."""
        if self._bars is not None:
            self._bars.stop()
        if reason not in (StopReason.EPOCHS, StopReason.ERROR):
            self._output.say(f"stopped after epoch {run.progress.epoch}: {reason.value}")

    def _say(self, line: str) -> None:
        self._output.say(line)
        self._spoke = time.monotonic()


def _columns() -> tuple[ProgressColumn, ...]:
    return (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )


def _where(run: Run) -> str:
    return f"epoch {min(run.progress.epoch + 1, run.config.epochs)}/{run.config.epochs}"


def _loss(terms: Mapping[str, float]) -> str:
    losses = [f"{value:.4g}" for name, value in terms.items() if name.endswith("/loss")]
    return f"loss {' '.join(losses)}" if losses else ""


def _numbers(metrics: Mapping[str, Any]) -> str:
    named = {
        name: value for name, value in metrics.items() if isinstance(value, float) and name.endswith("/loss")
    }
    return "  ".join(f"{name.replace('/loss', '')} {value:.4g}" for name, value in named.items())
