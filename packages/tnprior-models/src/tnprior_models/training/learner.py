"""The parts of a run that learn: the model, its optimisers and its averaged weights."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tnprior_models.checkpoint.errors import CheckpointError
from tnprior_models.checkpoint.weights import copy_weights, weights_of
from tnprior_models.errors import ModelError
from tnprior_models.objective import Objective
from tnprior_models.protocols import Trains, require
from tnprior_models.training.average import exponential_average
from tnprior_models.training.config import TrainConfig
from tnprior_models.training.distributed import Group
from tnprior_models.training.stepper import Stepper


def objectives_of(model: nn.Module) -> tuple[Objective, ...]:
    """What the model wants minimised, checked.

    Raises:
        ModelError: none, or two of the same name.
        CapabilityError: the model declares no objectives at all.
    """
    objectives = tuple(require(model, Trains).objectives())
    names = [objective.name for objective in objectives]
    if not names or len(set(names)) < len(names):
        raise ModelError(f"expected at least one objective and distinct names, received {names}")
    return objectives


class Learner:
    """A model with a stepper per objective and, if asked for, an average of its weights."""

    def __init__(self, model: nn.Module, config: TrainConfig, group: Group) -> None:
        self.model = model
        self._group = group
        group.broadcast([*model.parameters(), *model.buffers()])
        self.average = None if config.ema_decay is None else exponential_average(model, config.ema_decay)
        objectives = objectives_of(model)
        self._check_schedules(config, objectives)
        self.steppers = tuple(Stepper(model, objective, config, group) for objective in objectives)

    @property
    def product(self) -> nn.Module:
        """The model to validate, sample from and keep: the averaged one if there is one."""
        return self.model if self.average is None else self.average.module

    def stepped(self) -> None:
        """Take the new weights into the average."""
        if self.average is not None:
            self.average.update_parameters(self.model)

    def share_buffers(self) -> None:
        """Give every process the buffers of rank 0 (running statistics differ, each saw its own share)."""
        self._group.broadcast([*self.model.buffers(), *self.product.buffers()])

    def adopt(self, parameters: Iterable[Tensor]) -> None:
        """Go on with `parameters` as somebody just overwrote them: what was learned about them is void.

        Optimisers forget them and the average starts from their new values; all processes take rank 0's. An
        order of variables, which is a buffer, may have changed with them.
        """
        changed = {id(parameter): parameter for parameter in parameters}
        if not changed:
            return
        self._group.broadcast([*changed.values(), *self.model.buffers()])
        for stepper in self.steppers:
            stepper.forget(list(changed.values()))
        with torch.no_grad():
            for own, averaged in zip(self.model.parameters(), self.product.parameters(), strict=True):
                if id(own) in changed and averaged is not own:
                    averaged.copy_(own)
            for buffer, copied in zip(self.model.buffers(), self.product.buffers(), strict=True):
                if not buffer.is_floating_point() and copied is not buffer:
                    copied.copy_(buffer)

    def state(self) -> dict[str, Any]:
        """Weights, average and optimisers."""
        state: dict[str, Any] = {
            "model": weights_of(self.model),
            "optimizers": {stepper.name: stepper.state() for stepper in self.steppers},
        }
        if self.average is not None:
            state["average"] = weights_of(self.average)
            state["averaged_updates"] = int(self.average.n_averaged)
        return state

    def load(self, saved: Mapping[str, Any], source: str) -> None:
        """Continue with a saved state.

        Raises:
            CheckpointError: it belongs to another model or to other objectives.
        """
        names = [stepper.name for stepper in self.steppers]
        if sorted(saved["optimizers"]) != sorted(names):
            raise CheckpointError(
                f"{source}: expected optimisers for the objectives {sorted(names)}, "
                f"received {sorted(saved['optimizers'])}"
            )
        copy_weights(saved["model"], self.model, source)
        for stepper in self.steppers:
            stepper.load(saved["optimizers"][stepper.name])
        if self.average is not None:
            copy_weights(saved["average"], self.average, source)
            self.average.n_averaged.fill_(saved["averaged_updates"])

    def _check_schedules(self, config: TrainConfig, objectives: Sequence[Objective]) -> None:
        if isinstance(config.schedule, Mapping):
            unknown = config.schedule.keys() - {objective.name for objective in objectives}
            if unknown:
                raise ModelError(
                    f"schedule: no objective is named {min(unknown)!r}; the model has "
                    f"{', '.join(objective.name for objective in objectives)}"
                )


@contextmanager
def compiled(model: nn.Module, config: TrainConfig) -> Iterator[None]:
    """Inside, the submodules that `config` names are compiled, in place: their names stay what they are.

    Raises:
        ModelError: the model has no such submodule.
    """
    modules = []
    for name in config.compile_modules:
        try:
            modules.append(model.get_submodule(name))
        except AttributeError as error:
            known = ", ".join(child for child, _ in model.named_children())
            raise ModelError(f"compile_modules: no submodule {name!r}; the model has {known}") from error
    for module in modules:
        module.compile(backend=config.compile_backend)
    try:
        yield
    finally:
        for module in modules:
            module._compiled_call_impl = None
