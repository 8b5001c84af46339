"""Everything that is decided and checked before the first epoch, or before a second process, starts."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import nn

from tnprior_cli.atomic import new_directory, require_free_folder
from tnprior_cli.attributes import Objects, objects_of
from tnprior_cli.build import build_data, build_model, pick_device
from tnprior_cli.config import RunConfig
from tnprior_cli.errors import UsageError
from tnprior_cli.fit_settings import fit_command
from tnprior_cli.rundir import is_run, open_run
from tnprior_cli.runfiles import write_config, write_description
from tnprior_cli.settings import changed_keys, check, override, resolve
from tnprior_data import Dataset
from tnprior_models import Trains, require

EXTENDABLE = (
    "description",
    "data.root",
    "train.epochs",
    "train.patience",
    "train.max_minutes",
    "train.checkpoint_epochs",
    "train.checkpoint_steps",
    "train.grid_epochs",
    "train.compile",
    "train.tensorboard",
)
"""What a resumed run may change: how long it runs and what it writes, not what is computed."""


@dataclass(frozen=True)
class Wish:
    """What the command line asks for."""

    source: str
    out: Path | None
    overrides: tuple[str, ...]
    resume: bool
    overwrite: bool


@dataclass(frozen=True)
class Plan:
    """A run that is known to be possible: its place, its configuration, its data, its device."""

    path: Path
    config: RunConfig
    data: Dataset
    objects: Objects
    device: str
    devices: int
    resumed: bool

    @cached_property
    def model(self) -> nn.Module:
        """The model, freshly initialised."""
        return build_model(self.config, self.objects)

    def rows(self) -> Iterable[tuple[str, str]]:
        """The plan for the user."""
        config, data = self.config, self.data
        channels, height, width = self.objects.shape
        hidden = 1 - float(data.observed.double().mean()) if data.observed.numel() else 0.0
        yield "data", f"{config.data.name}: {len(data)} objects of {channels}x{height}x{width}"
        if data.schema:
            yield "attributes", f"{', '.join(self.objects.names)}; {hidden:.1%} of the labels missing"
        prior = (config.prior.kind, config.prior.size(), f"{config.model.latents} latents")
        yield "prior", ", ".join(part for part in prior if part)
        yield "parameters", f"{sum(p.numel() for p in self.model.parameters()):,}"
        yield "epochs", f"{config.train.epochs} of batch size {config.train.batch_size}"
        yield "device", f"{self.device}" + (f", {self.devices} processes" if self.devices > 1 else "")

    def prepare(self) -> None:
        """Makes the run directory, whole or not at all; a resumed one only learns its new settings.

        Under torchrun that is for rank 0 alone; the others meet it in the process group afterwards.
        """
        if rank():
            return
        if self.resumed:
            write_config(self.path, self.config)
            return
        with new_directory(self.path) as folder:
            write_description(folder, str(self.path), self.config, self.objects)


def plan(wish: Wish, *, device: str, devices: int) -> Plan:
    """Checks everything that can be checked before training.

    Raises:
        UsageError: a setting, the output place, the device, or a change that a resumed run cannot make.
        DataError: the data set is not there or damaged.
    """
    place = pick_device(device)
    if devices > 1 and place.type == "cuda":
        pick_device(f"cuda:{devices - 1}")
    if devices > 1 and rank() is not None:
        raise UsageError("torchrun starts the processes already; leave --devices out")
    path = wish.out or default_path(wish.source)
    resumed = wish.resume and is_run(path)
    if wish.resume and not resumed and Path(wish.source) == path:
        open_run(path)  # says why it is no run
    config = _resumed_config(path, wish) if resumed else resolve(wish.source, wish.overrides)
    if config.fit is not None:
        raise UsageError(
            f"{wish.source} was not trained but fitted; repeat it with: {fit_command(config, config.fit, 'NEW')}"
        )
    if not resumed and not rank():
        _require_free(path, wish)
    data = build_data(config.data, "train")
    objects = objects_of(data)
    planned = Plan(path, config, data, objects, str(place), devices, resumed)
    if resumed and open_run(path).objects != objects:
        raise UsageError(
            f"{config.data.name} is not what {path} was trained on: the attributes or shapes differ"
        )
    _check(planned)
    return planned


def rank() -> int | None:
    """The number of this process under torchrun, None where there is no torchrun."""
    return int(os.environ["RANK"]) if "RANK" in os.environ else None


def default_path(source: str) -> Path:
    """runs/NAME for a recipe or file; a run directory itself where that is what is named."""
    path = Path(source)
    return path if is_run(path) else Path("runs") / path.stem


def _resumed_config(path: Path, wish: Wish) -> RunConfig:
    """The run's own configuration with the overrides, which may only extend it."""
    old = open_run(path).config
    if Path(wish.source) == path:
        new = check(override(old.model_dump(mode="json"), wish.overrides), "-s")
    else:
        new = resolve(wish.source, wish.overrides)
    wrong = [key for key in changed_keys(old, new) if key not in EXTENDABLE]
    if wrong:
        raise UsageError(
            f"{path} was begun with other settings of {', '.join(wrong)}; continue it as it is with "
            f"`tnp train {path} --resume`, or start a new run with another -o (a resumed run may change only "
            f"{', '.join(EXTENDABLE)})"
        )
    return new


def _require_free(path: Path, wish: Wish) -> None:
    if is_run(path) and not wish.overwrite:
        raise UsageError(f"{path} is a run already; continue it with --resume, replace it with --overwrite, or "
                         "choose another -o")  # fmt: skip
    require_free_folder(path, overwrite=wish.overwrite, ours=is_run, noun="a run directory")


def _check(planned: Plan) -> None:
    """The model can be built and takes the data."""
    require(planned.model, Trains).objectives()
