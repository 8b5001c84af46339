"""One update of one objective."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from tnprior_models.checkpoint.errors import CheckpointError
from tnprior_models.errors import ModelError
from tnprior_models.objective import Batch, Objective
from tnprior_models.training.config import TrainConfig
from tnprior_models.training.distributed import Group


@dataclass(frozen=True)
class Part:
    """A piece of this process's share of a batch.

    `weight` is the share of this piece in the mean over the whole batch, `share` its share in this
    process's part; a process without examples computes one with weight 0, because all processes must
    take part in the reduction.
    """

    batch: Batch
    weight: float
    share: float


class Loss(nn.Module):
    """An objective's loss as the forward of a module that holds the model, for DDP's and compile's sake."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self._loss = objective.loss
        self._name = objective.name

    def forward(self, x: Tensor, codes: Tensor, observed: Tensor) -> dict[str, Tensor]:
        """The terms; only "loss" carries a gradient.

        Raises:
            ModelError: no term is named "loss".
        """
        terms = self._loss((x, codes, observed))
        if "loss" not in terms:
            raise ModelError(
                f"objective {self._name!r}: expected a term named 'loss', received "
                f"{', '.join(terms) or 'none'}"
            )
        return {name: value if name == "loss" else value.detach() for name, value in terms.items()}


class Stepper:
    """An objective with its optimiser, ready to be stepped alone or in a group of processes."""

    def __init__(self, model: nn.Module, objective: Objective, config: TrainConfig, group: Group) -> None:
        self.name = objective.name
        self.every = objective.every
        self.parameters = tuple(objective.tensors())
        self.optimizer = objective.build_optimizer()
        self._own_names = self._names(model)
        own = {id(parameter) for parameter in self.parameters}
        self._others = [p for p in model.parameters() if p.requires_grad and id(p) not in own]
        self._rates = [float(entry["lr"]) for entry in self.optimizer.param_groups]
        self._hyperparameters = self._groups()
        self._clip_norm = config.clip_norm
        self._autocast = config.bf16
        self._begin = objective.begin
        self._schedule = config.schedule_of(objective.name)
        self.loss = Loss(model, objective)
        if config.compile_loss:
            self.loss.compile(backend=config.compile_backend)
        self._module: nn.Module = self.loss
        if group.world > 1:
            with self._others_frozen():  # DDP reduces the parameters that need a gradient now
                parallel = DistributedDataParallel(self.loss, find_unused_parameters=True)
            parallel.broadcast_buffers = False  # the learner shares them when they matter
            self._module = parallel

    def backward(self, parts: Sequence[Part], step: int) -> dict[str, Tensor]:
        """The gradient of the mean loss over the batch at update `step`, and this process's mean terms.

        Returns the terms and `grad_norm`, the norm before clipping.
        """
        if self._begin is not None:
            self._begin(step)
        self.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        with self._others_frozen():
            for index, part in enumerate(parts):
                with self._reduction(last=index == len(parts) - 1):
                    with torch.autocast(part.batch[0].device.type, torch.bfloat16, enabled=self._autocast):
                        terms = self._module(*part.batch)
                    (terms["loss"] * part.weight).backward()
                for name, value in terms.items():
                    term = value.detach().double() * part.share
                    sums[name] = sums[name] + term if name in sums else term
        return {**sums, "grad_norm": self._clip().to(terms["loss"].device)}

    def update(self, step: int, total: int) -> None:
        """Move the parameters along the gradient, at the learning rate of `step`."""
        factor = self._schedule(step, total)
        for entry, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            entry["lr"] = rate * factor
        self.optimizer.step()

    def learning_rate(self) -> float:
        """The learning rate of the last update (of the first group)."""
        return float(self.optimizer.param_groups[0]["lr"])

    def forget(self, parameters: Sequence[Tensor]) -> None:
        """Drop what the optimiser remembers of `parameters`."""
        for parameter in parameters:
            self.optimizer.state.pop(parameter, None)

    def state(self) -> dict[str, Any]:
        """The optimiser's state by parameter name, and the settings it was built with."""
        by_index = self.optimizer.state_dict()["state"]
        state = {name: by_index[index] for index, name in enumerate(self._own_names) if index in by_index}
        return {"settings": self._hyperparameters, "groups": self._groups(), "state": state}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Continue with a saved state.

        Raises:
            CheckpointError: another optimiser, other settings of it, or other parameters.
        """
        self._check(saved)
        positions = {name: index for index, name in enumerate(self._own_names)}
        indices = iter(range(len(self._own_names)))
        groups = [
            {**entry, "params": [next(indices) for _ in own["params"]]}
            for entry, own in zip(saved["groups"], self.optimizer.param_groups, strict=True)
        ]
        state = {positions[name]: value for name, value in saved["state"].items()}
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})

    def _check(self, saved: Mapping[str, Any]) -> None:
        unknown = sorted(saved["state"].keys() - set(self._own_names))
        if unknown:
            raise CheckpointError(
                f"objective {self.name!r}: the saved optimiser knows {unknown[0]!r}, which it lacks"
            )
        if len(saved["settings"]) != len(self._hyperparameters):
            raise CheckpointError(f"objective {self.name!r}: the parameters were grouped differently")
        for before, now in zip(saved["settings"], self._hyperparameters, strict=True):
            for key in sorted(before.keys() | now.keys()):
                if before.get(key) != now.get(key):
                    raise CheckpointError(
                        f"objective {self.name!r}: {key} was {before.get(key)!r}, now {now.get(key)!r}; resume "
                        "with the old value or start a new run"
                    )

    def _groups(self) -> list[dict[str, Any]]:
        name = type(self.optimizer).__name__
        return [
            {"optimizer": name, **{key: value for key, value in entry.items() if key != "params"}}
            for entry in self.optimizer.param_groups
        ]

    def _names(self, model: nn.Module) -> list[str]:
        known = {id(parameter): name for name, parameter in model.named_parameters()}
        ordered = [p for entry in self.optimizer.param_groups for p in entry["params"]]
        strangers = [tuple(p.shape) for p in ordered if id(p) not in known]
        if strangers:
            raise ModelError(
                f"objective {self.name!r}: a parameter of shape {strangers[0]} does not belong to the model; "
                "register it there, or no checkpoint would hold it"
            )
        return [known[id(p)] for p in ordered]

    def _clip(self) -> Tensor:
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = get_total_norm(gradients)
        if self._clip_norm is not None:
            clip_grads_with_norm_(self.parameters, self._clip_norm, norm)
        return norm.detach().double()

    @contextmanager
    def _others_frozen(self) -> Iterator[None]:
        for parameter in self._others:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in self._others:
                parameter.requires_grad_(True)

    def _reduction(self, *, last: bool) -> AbstractContextManager[None]:
        if isinstance(self._module, DistributedDataParallel) and not last:
            return self._module.no_sync()
        return nullcontext()
