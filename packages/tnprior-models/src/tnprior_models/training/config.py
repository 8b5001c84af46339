"""The settings of a training run, and which of them a resumed run may change."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tnprior_models.checkpoint.errors import CheckpointError
from tnprior_models.errors import ModelError
from tnprior_models.training.schedule import Constant, Schedule

CHANGEABLE = frozenset(
    {
        "epochs",
        "patience",
        "max_minutes",
        "checkpoint_epochs",
        "checkpoint_steps",
        "compile_loss",
        "compile_modules",
        "compile_backend",
    }
)
"""What may differ when a run is resumed: how long it runs, how often it saves, how it is compiled."""

_COUNTS = ("batch_size", "accumulate", "validate_epochs", "patience", "checkpoint_epochs", "checkpoint_steps")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a model is trained; what is trained is the model's own affair.

    Args:
        epochs: passes over the data. Raise it to extend a finished run.
        batch_size: the largest number of examples of an update, over all processes. An epoch's examples are
            divided evenly, so no batch is smaller than another by more than one.
        seed: names the run's random streams: order of the data, noise, validation.
        flip: show every example mirrored left to right with probability 1/2, drawn anew for each epoch.
        shift: show every example moved by up to this many pixels either way along both axes, drawn anew for
            each epoch; pixels of the edge repeat. The examples must be images.
        accumulate: the parts in which a batch is processed. The update is that of the whole batch; only
            the memory shrinks.
        clip_norm: the largest norm of an objective's gradient; None leaves it.
        ema_decay: the decay of the averaged weights, see `exponential_average`; None keeps no average.
        schedule: the learning-rate schedule, or one per objective by name.
        bf16: compute the losses under bfloat16 autocast; parameters stay as they are.
        deterministic: only deterministic algorithms; an operation without one is an error.
        patience: stop after this many validations without improvement; None never stops early.
        monitor: the validation number that decides what is best, such as "validation/vae/loss"; None takes
            the loss of the first objective.
        higher_is_better: whether `monitor` is to grow.
        validate_epochs: validate after every so many epochs.
        max_minutes: write a checkpoint and stop after this much time; a resumed run has as much again.
        checkpoint_epochs: write a checkpoint after every so many epochs (and always at the end).
        checkpoint_steps: also write one after every so many updates.
        compile_loss: compile each objective's loss as a whole.
        compile_modules: names of submodules to compile on their own, such as ("encoder", "decoder").
        compile_backend: the backend of `torch.compile`.

    Raises:
        ModelError: a value out of its range, naming the setting.

    >>> TrainConfig(epochs=3, batch_size=64).batch_size
    64
    """

    epochs: int = 10
    batch_size: int = 128
    seed: int = 0
    flip: bool = False
    shift: int = 0
    accumulate: int = 1
    clip_norm: float | None = None
    ema_decay: float | None = None
    schedule: Schedule | Mapping[str, Schedule] = field(default_factory=Constant)
    bf16: bool = False
    deterministic: bool = False
    patience: int | None = None
    monitor: str | None = None
    higher_is_better: bool = False
    validate_epochs: int = 1
    max_minutes: float | None = None
    checkpoint_epochs: int = 1
    checkpoint_steps: int | None = None
    compile_loss: bool = False
    compile_modules: tuple[str, ...] = ()
    compile_backend: str = "inductor"

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise ModelError(f"epochs: expected 0 or more, received {self.epochs}")
        if self.shift < 0:
            raise ModelError(f"shift: expected 0 pixels or more, received {self.shift}")
        for name in _COUNTS:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ModelError(f"{name}: expected 1 or more, received {value}")
        for name in ("clip_norm", "max_minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ModelError(f"{name}: expected a number above 0 or None, received {value}")
        if self.ema_decay is not None and not 0.0 < self.ema_decay < 1.0:
            raise ModelError(
                f"ema_decay: expected a number between 0 and 1 or None, received {self.ema_decay}"
            )

    def schedule_of(self, objective: str) -> Schedule:
        """The schedule of the objective of that name."""
        if isinstance(self.schedule, Mapping):
            return self.schedule.get(objective, Constant())
        return self.schedule


def describe(value: Any) -> Any:
    """A setting as plain JSON; a dataclass says its type.

    >>> from tnprior_models.training.schedule import Cosine
    >>> describe(Cosine(final=0.1))
    {'type': 'Cosine', 'final': 0.1}
    """
    if dataclasses.is_dataclass(value):
        fields = {item.name: describe(getattr(value, item.name)) for item in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        return {str(key): describe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return getattr(value, "__qualname__", type(value).__qualname__)


def check_resumable(saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Whether a run that began with the settings `saved` may go on with `now` (both from `describe`).

    Raises:
        CheckpointError: a setting differs that decides the course of the run, naming it.
    """
    for name in sorted((saved.keys() | now.keys()) - CHANGEABLE):
        if saved.get(name) != now.get(name):
            raise CheckpointError(
                f"{name}: the run was trained with {saved.get(name)!r}, received {now.get(name)!r}; resume "
                f"with the old value or start a new run (a resumed run may change {', '.join(sorted(CHANGEABLE))})"
            )
