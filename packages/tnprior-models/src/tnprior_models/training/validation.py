"""Which of the models of a run is the best so far."""

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import nn

from tnprior_models.errors import ModelError
from tnprior_models.training.config import TrainConfig
from tnprior_models.training.data import TensorData
from tnprior_models.training.distributed import Group
from tnprior_models.training.evaluation import evaluating, mean_terms
from tnprior_models.training.order import derive_seed
from tnprior_models.training.run import Progress
from tnprior_models.training.streams import isolated
from tnprior_models.training.terms import NonFiniteLossError

Evaluate: TypeAlias = Callable[[nn.Module], Mapping[str, float]]
PREFIX = "validation/"


class Validator:
    """Computes validation numbers and keeps score.

    Args:
        config: batch size, seed, and whether the number that decides is to grow.
        data: held-out examples, over which the objectives' terms are averaged.
        evaluate: other numbers; what it returns replaces the terms.
        group: the processes of the run.
        device: where the model is.
        monitor: the number that decides; None for the first.

    Raises:
        ModelError: neither examples nor `evaluate`.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: TensorData | None,
        evaluate: Evaluate | None,
        group: Group,
        device: torch.device,
        monitor: str | None = None,
    ) -> None:
        if data is None and evaluate is None:
            raise ModelError("expected validation examples or a function that evaluates the model")
        self._config, self._data, self._evaluate = config, data, evaluate
        self._group, self._device, self._monitor = group, device, monitor

    def numbers(self, model: nn.Module) -> dict[str, float]:
        """The validation numbers of `model` by name, "validation/..."; the same in every process."""
        if self._evaluate is not None:
            found = self._own_numbers(model, self._evaluate)
        elif self._data is not None:
            found = mean_terms(
                model, self._data, self._config.batch_size, self._config.seed, self._group, self._device
            )
        return {f"{PREFIX}{name}": value for name, value in found.items()}

    def judge(self, numbers: Mapping[str, float], progress: Progress) -> bool:
        """Whether they are the best so far; keeps the score in `progress`.

        Raises:
            ModelError: the setting `monitor` names none of them.
            NonFiniteLossError: the number that decides is NaN or infinite.
        """
        name = self._monitor or next(iter(numbers), "")
        if name not in numbers:
            raise ModelError(f"monitor: expected one of {', '.join(numbers)}, received {name!r}")
        value = numbers[name]
        if not math.isfinite(value):
            raise NonFiniteLossError(
                f"epoch {progress.epoch}, step {progress.step}: {name} is {value}; the last checkpoint is intact"
            )
        sign = -1.0 if self._config.higher_is_better else 1.0
        improved = progress.best is None or sign * value < sign * progress.best
        progress.stale = 0 if improved else progress.stale + 1
        if improved:
            progress.best, progress.best_epoch = value, progress.epoch
        return improved

    def _own_numbers(self, model: nn.Module, evaluate: Evaluate) -> dict[str, float]:
        noise = isolated(derive_seed("validation", self._config.seed), self._device)
        with evaluating(model), noise, torch.no_grad():
            numbers = {name: float(value) for name, value in evaluate(model).items()}
        values = torch.tensor(list(numbers.values()), dtype=torch.float64, device=self._device)
        self._group.broadcast([values])
        return dict(zip(numbers, values.tolist(), strict=True))
