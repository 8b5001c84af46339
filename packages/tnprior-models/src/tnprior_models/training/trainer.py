"""The training loop: one for every model that declares its objectives."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tnprior_models.errors import ModelError
from tnprior_models.training.config import TrainConfig
from tnprior_models.training.data import Examples, TensorData, tensor_data
from tnprior_models.training.determinism import deterministic_algorithms
from tnprior_models.training.distributed import Group, current_group
from tnprior_models.training.files import LAST, RunFiles
from tnprior_models.training.interrupt import TrainingInterrupted, caught_signals
from tnprior_models.training.learner import Learner, compiled, objectives_of
from tnprior_models.training.metrics_log import MetricsLog
from tnprior_models.training.run import Callback, StopReason
from tnprior_models.training.session import Session
from tnprior_models.training.streams import capture, restore
from tnprior_models.training.validation import PREFIX, Evaluate, Validator


@dataclass(frozen=True)
class TrainResult:
    """How a run ended: why, after how many epochs and updates, its best validation, its last numbers."""

    reason: StopReason
    epoch: int
    step: int
    best: float | None
    best_epoch: int | None
    metrics: Mapping[str, Any]


class Trainer:
    """Minimises a model's objectives on data in memory, and can stop and go on at any update.

    With a run directory it keeps `checkpoints/last` and, given validation data, `checkpoints/best`,
    `model.safetensors` (the best weights by validation, without it the newest; averaged if there is an
    average), `metrics.jsonl` and `env.json`. A run that is resumed goes on bit for bit on a CPU.

    In a process group (see `process_group` and `launch`) every process builds the same trainer; each takes
    its share of every batch, and rank 0 writes.

    Args:
        model: a module with `objectives()`; it is moved to `device` and trained in place.
        config: how to train.
        data: the training examples.
        run_dir: where to write; None writes nothing.
        callbacks: hooks, called in this order.
        validation: held-out examples.
        evaluate: other validation numbers than the objectives' terms: from the model (averaged if there is
            an average) to named numbers; they appear as `validation/<name>`.
        device: where to compute.
        metadata: plain JSON stored with the weights, enough to build the model again.

    Raises:
        ModelError: a model without objectives, data of another shape, early stopping without validation.

    >>> from torch.optim import Adam
    >>> from tnprior_models import Objective
    >>> class Mean(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.mean = nn.Parameter(torch.zeros(()))
    ...
    ...     def objectives(self):
    ...         def loss(batch):
    ...             return {"loss": (batch[0] - self.mean).square().mean()}
    ...
    ...         return (Objective("fit", [self.mean], loss, lambda p: Adam(p, lr=0.1)),)
    >>> data = TensorData(
    ...     torch.rand(64, 1, 8, 8) + 2,
    ...     torch.zeros(64, 0, dtype=torch.int64),
    ...     torch.zeros(64, 0, dtype=torch.bool),
    ... )
    >>> model = Mean()
    >>> result = Trainer(model, TrainConfig(epochs=40, batch_size=16), data).fit()
    >>> result.step, abs(model.mean.item() - 2.5) < 0.1
    (160, True)
    """

    def __init__(
        self,
        model: nn.Module,
        config: TrainConfig,
        data: Examples,
        run_dir: str | Path | None = None,
        callbacks: Sequence[Callback] = (),
        *,
        validation: Examples | None = None,
        evaluate: Evaluate | None = None,
        device: torch.device | str = "cpu",
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.config = config
        self.data: TensorData = tensor_data(data).near(self.device)
        self.validation = None if validation is None else tensor_data(validation).near(self.device)
        self.model = model.to(self.device)
        self._evaluate = evaluate
        self._files = None if run_dir is None else RunFiles(Path(run_dir), metadata or {})
        self._callbacks = (*([] if run_dir is None else [MetricsLog()]), *callbacks)
        objectives_of(self.model)
        if config.patience is not None and validation is None and evaluate is None:
            raise ModelError("patience: early stopping needs validation examples, or evaluate")

    def fit(self) -> TrainResult:
        """Train from the beginning.

        Raises:
            ModelError: the run directory already holds a run, or cannot be written.
            NonFiniteLossError: a loss term became NaN or infinite; the last checkpoint is from before that.
            TrainingInterrupted: SIGINT or SIGTERM; the run can be resumed.
        """
        if self._files is not None and self._files.started():
            raise ModelError(
                f"{self._files.directory} already holds a run: resume it or choose another directory"
            )
        return self._train(None)

    def resume(self, checkpoint: str = LAST) -> TrainResult:
        """Go on from a checkpoint, "last" or "best"; from the beginning if none was ever written.

        The model's present weights do not matter. A finished run goes on when `epochs` was raised.

        Raises:
            CheckpointError: a damaged checkpoint, one of another model or data set, or a changed setting.
            ModelError, NonFiniteLossError, TrainingInterrupted: as for `fit`.
        """
        if self._files is None:
            raise ModelError("expected a run directory to resume from, received run_dir=None")
        if checkpoint == LAST and not self._files.started():
            return self._train(None)
        return self._train(self._files.load(checkpoint))

    def _train(self, saved: Mapping[str, Any] | None) -> TrainResult:
        with ExitStack() as stack:
            stack.enter_context(_streams_kept(self.device))
            if self.config.deterministic:
                stack.enter_context(deterministic_algorithms())
            session = self._session()
            if saved is None:
                session.begin()
            else:
                session.restore(saved)
            stack.enter_context(compiled(self.model, self.config))
            interrupts = stack.enter_context(caught_signals())
            reason = session.train(interrupts)
        if reason is StopReason.SIGNAL:
            where = "nothing was saved" if self._files is None else f"resume {self._files.directory}"
            cause = interrupts.requested or "a signal to another process"
            raise TrainingInterrupted(
                f"stopped by {cause} after epoch {session.progress.epoch}, step {session.progress.step}: {where}"
            )
        progress = session.progress
        return TrainResult(
            reason, progress.epoch, progress.step, progress.best, progress.best_epoch, session.run.metrics
        )

    def _session(self) -> Session:
        group = current_group(self.device)
        learner = Learner(self.model, self.config, group)
        return Session(
            learner=learner,
            config=self.config,
            data=self.data,
            validator=self._validator(group),
            files=self._files,
            callbacks=self._callbacks,
            group=group,
            device=self.device,
        )

    def _validator(self, group: Group) -> Validator | None:
        if self.validation is None and self._evaluate is None:
            return None
        monitor = self.config.monitor
        if monitor is None and self._evaluate is None:
            monitor = f"{PREFIX}{objectives_of(self.model)[0].name}/loss"
        return Validator(self.config, self.validation, self._evaluate, group, self.device, monitor)


@contextmanager
def _streams_kept(device: torch.device) -> Iterator[None]:
    state = capture(device)
    try:
        yield
    finally:
        restore(state, device)
