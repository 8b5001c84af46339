"""A prior over codes and attributes for a model that is trained already: its networks stay as they are."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from tnprior_cli.atomic import new_directory, require_free_folder, write_text
from tnprior_cli.attributes import Objects, objects_of
from tnprior_cli.build import build_data, build_model, load_model, pick_device
from tnprior_cli.carried import carry_networks
from tnprior_cli.config import FitSection, RunConfig
from tnprior_cli.errors import UsageError
from tnprior_cli.fit_codes import FitCodes, count_generated, encoded, generated
from tnprior_cli.fit_settings import fitted_config
from tnprior_cli.matched import matched
from tnprior_cli.rundir import ENVIRONMENT, METRICS, WEIGHTS, RunDirectory, is_run, open_run
from tnprior_cli.runfiles import write_description, write_json
from tnprior_cli.training import describe, initialize_prior
from tnprior_data import Dataset
from tnprior_models import Encodes, EncodesLabelled, Fitted, Polish, Trains, fit_prior, prior_bound
from tnprior_models.checkpoint import save_weights
from tnprior_models.training.environment import environment

Say = Callable[[str], None]


@dataclass(frozen=True)
class FitPlan:
    """A fit that is known to be possible."""

    source: RunDirectory
    path: Path
    config: RunConfig
    settings: FitSection
    data: Dataset
    device: str

    @cached_property
    def objects(self) -> Objects:
        """What the objects are, with the share of labels that the fit does not see."""
        return objects_of(self.data)

    @cached_property
    def trained(self) -> Any:
        """The model of the run.

        Raises:
            CheckpointError: its networks are not those that its configuration says.
        """
        return load_model(self.source, self.device)

    @cached_property
    def model(self) -> Any:
        """The networks of the run under a new prior."""
        model = build_model(self.config, self.objects)
        carry_networks(self.source.config.model.family, self.trained, model)
        return model.to(pick_device(self.device)).eval()

    def codes(self, say: Say) -> FitCodes:
        """What the prior is fitted to."""
        limit = self.settings.objects
        if self.generates:
            return generated(self.trained, self.data, self.config, limit, self.device, say)
        return encoded(self.model, self.data, self.config, limit)

    @property
    def generates(self) -> bool:
        """Whether the model has no encoder, so that the objects are of its own making."""
        return not isinstance(self.model, Encodes | EncodesLabelled)

    def rows(self) -> Iterable[tuple[str, str]]:
        """The plan for the user."""
        hidden = 1 - float(self.data.observed.double().mean())
        yield "data", f"{self.config.data.name}: {len(self.data)} objects, {hidden:.1%} of the labels missing"
        yield "attributes", ", ".join(self.objects.names)
        before, after = self.source.config.model.family, self.config.model.family
        yield "networks", f"those of a {before}, unchanged" + (f"; now a {after}" if after != before else "")
        if self.generates:
            yield "codes", f"of {count_generated(self.settings.objects):,} objects that it generates"
        yield "prior", f"{self.config.prior.kind}, {self.config.prior.size()}"
        yield "parameters", f"{sum(p.numel() for p in self.model.prior.parameters()):,} of the prior"
        yield "steps", f"{self.settings.steps} of batch size {self.settings.batch_size}"
        yield "device", self.device


def plan_fit(run: Path, out: Path, overrides: Iterable[str], *, device: str, overwrite: bool) -> FitPlan:
    """Checks everything that can be checked before the fit.

    Raises:
        UsageError: a setting that a fit cannot change, a gan without a label, the output place or the device.
        BadDataError: the run is damaged, unfinished, or its data are not what it was trained on.
    """
    place = str(pick_device(device))
    source = open_run(run)
    source.weights.stat()
    # The networks have the width that they were trained with, whatever prior they get.
    trained = matched(source.config, source.objects)
    config, settings = fitted_config(trained, str(source.path), overrides)
    require_free_folder(out, overwrite=overwrite, ours=is_run, noun="a run directory")
    if out.exists() and out.samefile(run):
        raise UsageError(f"{out} is the run itself; choose another -o")
    data = build_data(config.data, "train")
    source.check_data(data, attributes=config.data.attributes == source.config.data.attributes)
    planned = FitPlan(source, out, config, settings, data, place)
    if planned.generates and not bool(data.observed.any()):
        raise UsageError("no label is observed that a classifier could learn from; lower --missing")
    if isinstance(planned.model, Trains):
        planned.model.objectives()
    return planned


def fit(planned: FitPlan, say: Say) -> None:
    """Fits the prior and writes a run directory, whole or not at all."""
    config, settings, model = planned.config, planned.settings, planned.model
    log = _Log(say, settings.steps)
    model.requires_grad_(requires_grad=False)
    model.prior.requires_grad_(requires_grad=True)
    codes, held = planned.codes(say)
    fit_prior(
        model,
        codes,
        initialize=partial(initialize_prior, config.prior) if config.prior.initialize else None,
        polish=Polish(settings.steps, settings.lr, settings.batch_size, settings.attribute_weight),
        held=held,
        seed=config.seed,
        progress=log.hear,
    )
    if held is not None:
        log.keep(prior_bound(model, held))
    with new_directory(planned.path) as folder:
        save_weights(folder / WEIGHTS, model, describe(config, planned.objects))
        write_text(folder / METRICS, "".join(json.dumps(line, allow_nan=False) + "\n" for line in log.lines))
        write_json(environment(planned.device, config.seed), folder / ENVIRONMENT)
        write_description(folder, str(planned.path), config, planned.objects)


class _Log:
    """What a fit reports, to the user and as lines of metrics."""

    def __init__(self, say: Say, steps: int) -> None:
        self.say, self.steps, self.began = say, steps, time.monotonic()
        self.lines: list[dict[str, Any]] = []
        self.held: dict[int, float] = {}

    def hear(self, fitted: Fitted) -> None:
        """Take in a report of the fit."""
        seconds = round(time.monotonic() - self.began, 3)
        if fitted.held is not None:
            self.held[fitted.step] = fitted.held
        if fitted.loss is None:
            self.say(f"codes ready, prior initialised  {seconds:.0f} s")
            return
        line = {"step": fitted.step, "seconds": seconds, "fit/loss": fitted.loss}
        said = f"step {fitted.step}/{self.steps}  loss {fitted.loss:.4g}  "
        if fitted.held is not None:
            line["validation/fit/loss"] = fitted.held
            said += f"validation {fitted.held:.4g}  "
        self.lines.append(line)
        self.say(f"{said}{seconds:.0f} s")

    def keep(self, log_prior: float) -> None:
        """Say which step's prior was kept, and how well it fits held-out codes."""
        kept = min(self.held, key=lambda step: self.held[step])
        if kept != self.steps:
            self.say(f"kept as at step {kept}, where held-out codes fitted best")
        last = self.lines.pop() if self.lines else {"step": 0}
        self.lines.append({**last, "kept": kept, "validation/fit/log_prior": log_prior})
