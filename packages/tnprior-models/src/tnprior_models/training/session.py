"""One stretch of a run, from its beginning or a checkpoint to wherever it ends."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from tnprior_models.checkpoint.errors import CheckpointError
from tnprior_models.training.batches import Batches
from tnprior_models.training.config import TrainConfig, check_resumable, describe
from tnprior_models.training.data import TensorData
from tnprior_models.training.distributed import Group
from tnprior_models.training.environment import environment, now
from tnprior_models.training.files import BEST, LAST, RunFiles
from tnprior_models.training.interrupt import Interrupts
from tnprior_models.training.learner import Learner
from tnprior_models.training.order import derive_seed
from tnprior_models.training.run import Callback, Progress, Run, StopReason
from tnprior_models.training.streams import capture_all, isolated, restore_own, seed_streams
from tnprior_models.training.terms import EpochTerms, Place
from tnprior_models.training.validation import Validator

_CUDA_INTERVAL = 16
"""Updates between two looks at the losses on CUDA: each look makes the device wait for the host."""


class Session:
    """Everything that is alive while a model trains; used once."""

    def __init__(
        self,
        learner: Learner,
        config: TrainConfig,
        data: TensorData,
        validator: Validator | None,
        files: RunFiles | None,
        callbacks: Sequence[Callback],
        group: Group,
        device: torch.device,
    ) -> None:
        self._learner, self._config, self._validator = learner, config, validator
        self._files, self._callbacks, self._group, self._device = files, callbacks, group, device
        self._interval = _CUDA_INTERVAL if device.type == "cuda" else 1
        self._terms = EpochTerms(group, self._interval)
        self._batches = Batches(data, config, group, device)
        self.progress = Progress(started=now())
        self.run = Run(
            learner.model,
            learner.product,
            config,
            data,
            None if files is None else files.directory,
            self.progress,
            self._batches.count,
            self._terms.latest,
        )
        self._spent = 0.0
        self._began = time.monotonic()
        self._saved: tuple[int, int] | None = None
        self._resumed = False

    def begin(self) -> None:
        """Start the random streams of a new run."""
        seed_streams(derive_seed("training", self._config.seed, self._group.rank), self._device)

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on where a checkpoint was written.

        Raises:
            CheckpointError: it belongs to another model or data set, or a setting was changed.
        """
        check_resumable(saved["settings"], describe(self._config))
        if saved["examples"] != len(self.run.data):
            raise CheckpointError(
                f"data: the run was trained on {saved['examples']} examples, received {len(self.run.data)}; "
                "resume with the same data"
            )
        self._learner.load(saved["learner"], "the checkpoint")
        self.progress = self.run.progress = Progress(**saved["progress"])
        self._spent = self.progress.seconds
        self.run.metrics = dict(saved["metrics"])
        self._terms.load(saved["terms"])
        fallback = derive_seed("training", self._config.seed, self._group.rank, self.progress.step)
        restore_own(saved["random"], self._group, self._device, fallback)
        self._saved = (self.progress.epoch, self.progress.step)
        self._resumed = True

    def train(self, interrupts: Interrupts) -> StopReason:
        """Train until something ends it; a checkpoint of where it ended is written then."""
        reason = StopReason.ERROR
        try:
            self._open()
            reason = self._epochs(interrupts)
            self._checkpoint()
            self._note_environment()
        finally:
            self._each(lambda callback: callback.after_training(self.run, reason))
        return reason

    def _open(self) -> None:
        if self._files is not None and self._group.rank == 0:
            self._files.clean()
        self._note_environment()
        self._each(lambda callback: callback.before_training(self.run))
        if not self._resumed:
            self._checkpoint()

    def _epochs(self, interrupts: Interrupts) -> StopReason:
        while True:
            reason = self._finished() or self._stop_asked(interrupts)
            if reason is not None:
                return reason
            self._batches.begin(self.progress.epoch)
            if self.progress.batch == 0:
                self._begin_epoch()
            while self.progress.batch < self._batches.count:
                self._step()
                if self._due_for_a_look() and (reason := self._stop_asked(interrupts)):
                    return reason
                every = self._config.checkpoint_steps
                if every is not None and self.progress.step % every == 0:
                    self._checkpoint()
            self._end_epoch()

    def _finished(self) -> StopReason | None:
        if self.progress.epoch >= self._config.epochs:
            return StopReason.EPOCHS
        if self._config.patience is not None and self.progress.stale >= self._config.patience:
            return StopReason.EARLY
        return None

    def _due_for_a_look(self) -> bool:
        return self._group.world == 1 or self.progress.step % self._interval == 0

    def _stop_asked(self, interrupts: Interrupts) -> StopReason | None:
        limit = self._config.max_minutes
        late = limit is not None and time.monotonic() - self._began >= 60 * limit
        signals, deadlines = self._group.total([float(interrupts.requested is not None), float(late)])
        if signals:
            return StopReason.SIGNAL
        return StopReason.TIME if deadlines else None

    def _begin_epoch(self) -> None:
        self._terms.clear()
        self._learner.share_buffers()
        with isolated(derive_seed("refit", self._config.seed, self.progress.epoch), self._device):
            for callback in self._callbacks:
                self._learner.adopt(callback.refit(self.run))
        self._each(lambda callback: callback.before_epoch(self.run))

    def _step(self) -> None:
        parts, examples = self._batches.parts(self.progress.batch)
        for stepper in self._learner.steppers:
            if (self.progress.step + 1) % stepper.every == 0:
                place = Place(self.progress.epoch + 1, self.progress.step + 1, stepper.name)
                terms = stepper.backward(parts, self.progress.step)
                self._terms.add(place, terms, examples)
                stepper.update(self.progress.step, self.run.total_steps)
        self._learner.stepped()
        self.progress.batch += 1
        self.progress.step += 1
        if self._group.rank == 0:
            for callback in self._callbacks:
                callback.after_step(self.run)

    def _end_epoch(self) -> None:
        means = self._terms.means()
        self._terms.clear()
        self.progress.epoch += 1
        self.progress.batch = 0
        rates = {
            f"{stepper.name}/learning_rate": stepper.learning_rate() for stepper in self._learner.steppers
        }
        self._clock()
        validation, improved = self._validate()
        self.run.metrics = {
            "epoch": self.progress.epoch,
            "step": self.progress.step,
            "seconds": round(self.progress.seconds, 3),
            **means,
            **rates,
            **validation,
        }
        self._each(lambda callback: callback.after_epoch(self.run))
        if improved or self.progress.epoch % self._config.checkpoint_epochs == 0:
            self._checkpoint(best=improved)

    def _validate(self) -> tuple[dict[str, float], bool]:
        epoch = self.progress.epoch
        if self._validator is None or (epoch % self._config.validate_epochs and epoch < self._config.epochs):
            return {}, False
        self._learner.share_buffers()
        numbers = self._validator.numbers(self._learner.product)
        return numbers, self._validator.judge(numbers, self.progress)

    def _checkpoint(self, *, best: bool = False) -> None:
        position = (self.progress.epoch, self.progress.step)
        if self._files is None or (position == self._saved and not best):
            return
        self._learner.share_buffers()
        self._clock()
        state = self._state()
        self._saved = position
        if self._group.rank > 0:
            return
        if best:
            self._files.save(BEST, state)
        self._files.save(LAST, state)
        if best or self.progress.best is None:
            facts = {"epoch": self.progress.epoch, "step": self.progress.step, "metrics": self.run.metrics}
            self._files.save_product(self._learner.product, facts)

    def _state(self) -> dict[str, Any]:
        return {
            "settings": describe(self._config),
            "examples": len(self.run.data),
            "progress": asdict(self.progress),
            "terms": self._terms.state(),
            "metrics": self.run.metrics,
            "learner": self._learner.state(),
            "random": capture_all(self._group, self._device),
        }

    def _note_environment(self) -> None:
        if self._files is not None and self._group.rank == 0:
            self._clock()
            times = {"started": self.progress.started, "written": now(), "seconds": self.progress.seconds}
            facts = environment(self._device, self._config.seed, world=self._group.world)
            self._files.save_environment({**facts, "times": times})

    def _clock(self) -> None:
        self.progress.seconds = self._spent + time.monotonic() - self._began

    def _each(self, hook: Callable[[Callback], None]) -> None:
        if self._group.rank == 0:
            with isolated(derive_seed("callbacks", self._config.seed, self.progress.step), self._device):
                for callback in self._callbacks:
                    hook(callback)
