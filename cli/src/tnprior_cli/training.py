"""From a checked plan to a trained run: the settings of the loop and its callbacks, in one process or several."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tnprior_cli.attributes import Objects, objects_of
from tnprior_cli.build import build_data, build_model
from tnprior_cli.config import RunConfig
from tnprior_cli.config_prior import PriorSection
from tnprior_cli.families import compiled_parts
from tnprior_cli.pictures import save_grid_picture
from tnprior_cli.progress import Progress, Speech
from tnprior_cli.training_plan import Plan, rank
from tnprior_core import (
    VampPrior,
    information_order,
    initialize_from_axes,
    initialize_from_clusters,
    initialize_from_mixtures,
)
from tnprior_data import Dataset
from tnprior_eval import quantize
from tnprior_models import (
    HasPrior,
    Polish,
    RefitSchedule,
    Samples,
    refit_prior,
    require,
)
from tnprior_models.training import (
    Callback,
    Constant,
    Cosine,
    Refit,
    SampleGrids,
    TensorBoardLog,
    TensorData,
    TrainConfig,
    Trainer,
    TrainResult,
    Warmup,
    launch,
    process_group,
)
from tnprior_models.training.run import Run

GRID = 64
SETTLE_RATE = 2e-2


def run_training(planned: Plan, speech: Speech) -> TrainResult:
    """Trains what was planned, from the last checkpoint if there is one.

    Raises:
        TrainingInterrupted: SIGINT or SIGTERM; a checkpoint was written first.
    """
    kind = torch.device(planned.device).type
    if rank() is not None:
        return _fit_in_group(planned.path, planned.config, kind, speech)
    if planned.devices == 1:
        return fit(planned.path, planned.config, planned.data, torch.device(planned.device), speech)
    return launch(_fit_in_group, planned.devices, planned.path, planned.config, kind, speech)


def fit(path: Path, config: RunConfig, data: Dataset, device: torch.device, speech: Speech) -> TrainResult:
    """Trains in this process, or in this process's share of a group."""
    objects = objects_of(data)
    training, validation = split_validation(data, config)
    model = build_model(weighed_by_share(config, training.observed), objects)
    _show_examples(model, training, config.seed)
    trainer = Trainer(
        model,
        loop_settings(config),
        training,
        path,
        [*callbacks(config), Progress(speech)],
        validation=validation,
        device=device,
        metadata=describe(config, objects),
    )
    return trainer.resume()


def weighed_by_share(config: RunConfig, observed: Tensor) -> RunConfig:
    """With `model.attribute_rescale`, a weight of the labels as large as if all of them were observed.

    log p(y_ob|z) of an object with three labels of ten is a third as large as of one with all, and pulls a third as
    hard against thousands of pixels. Labels (n, A) that are all missing leave the configuration as it is.
    """
    share = float(observed.double().mean()) if observed.numel() else 0.0
    if not config.model.attribute_rescale or not share:
        return config
    model = config.model.model_copy(update={"attribute_weight": config.model.attribute_weight / share})
    return config.model_copy(update={"model": model})


@torch.no_grad()
def _show_examples(model: nn.Module, training: TensorData, seed: int) -> None:
    """A VampPrior starts from examples: from noise its components would all begin as one."""
    prior = require(model, HasPrior).prior
    prior = getattr(prior, "base", prior)  # behind a flow
    if isinstance(prior, VampPrior):
        order = torch.randperm(len(training.x), generator=torch.Generator().manual_seed(seed))
        chosen = training.x[order[: len(prior.inputs)]]
        prior.inputs[: len(chosen)] = chosen.to(prior.inputs) / 255


def split_validation(data: Dataset, config: RunConfig) -> tuple[TensorData, TensorData | None]:
    """The examples to train on, and those held out by `train.validation`: a choice of the data's seed alone."""
    generator = torch.Generator().manual_seed(config.data.seed)
    order = torch.randperm(len(data), generator=generator)
    held = round(config.train.validation * len(data))
    x, codes, observed = data.x, data.codes, data.observed
    parts = [
        TensorData(x[rows], codes[rows], observed[rows]) for rows in (order[held:], order[:held]) if len(rows)
    ]
    return parts[0], parts[1] if held else None


def loop_settings(config: RunConfig) -> TrainConfig:
    """The settings of the loop."""
    train = config.train
    schedule: Any = {"constant": Constant, "cosine": Cosine}[train.schedule]()
    return TrainConfig(
        epochs=train.epochs,
        batch_size=train.batch_size,
        seed=config.seed,
        flip=train.flip,
        shift=train.shift,
        accumulate=train.accumulate,
        clip_norm=train.clip_norm,
        ema_decay=train.ema_decay,
        schedule=Warmup(train.warmup, schedule) if train.warmup else schedule,
        bf16=train.bf16,
        deterministic=train.deterministic,
        patience=train.patience,
        max_minutes=train.max_minutes,
        checkpoint_epochs=train.checkpoint_epochs,
        checkpoint_steps=train.checkpoint_steps,
        compile_modules=compiled_parts(config) if train.compile else (),
    )


def callbacks(config: RunConfig) -> list[Callback]:
    """What happens between epochs: refits of the prior, sample grids, TensorBoard."""
    prior, found = config.prior, list[Callback]()
    if prior.initialize is not None:
        schedule = RefitSchedule(prior.refit_first, prior.refit_every, prior.refit_last)
        start = partial(initialize_prior, prior)
        found.append(Refit(partial(_refit, start, Polish(prior.polish), config.seed), schedule.due))
    found.extend(_alone(config))
    found.append(
        SampleGrids(
            partial(_draw, config.seed), _write, every=min(config.train.grid_epochs, config.train.epochs)
        )
    )
    if config.train.tensorboard:
        found.append(TensorBoardLog())
    return found


def _alone(config: RunConfig) -> Iterable[Callback]:
    """Training of the prior alone, between epochs.

    In small batches, and with labels weighing more than codes, the prior lags behind the codes, and the decoder is
    then shown places where no code lies; alone, on cached codes, it catches up within seconds.
    """
    prior, epochs = config.prior, config.train.epochs
    if epochs > 1:
        for steps, due in (
            (prior.settle, RefitSchedule(1, 1).due),
            (prior.finish, RefitSchedule(epochs - 1, 0).due),
        ):
            polish = Polish(steps, SETTLE_RATE, attribute_weight=prior.settle_weight)
            if steps:
                yield Refit(partial(_refit, None, polish, config.seed), due)


def describe(config: RunConfig, objects: Objects) -> dict[str, Any]:
    """What is stored with the weights, enough to build the model again."""
    return {"config": config.model_dump(mode="json"), "objects": objects.plain()}


def _fit_in_group(path: Path, config: RunConfig, kind: str, speech: Speech) -> TrainResult:
    with process_group(kind) as device:
        return fit(path, config, build_data(config.data, "train"), device, speech)


def _refit(start: Callable[..., None] | None, polish: Polish, seed: int, run: Run) -> Iterable[Tensor]:
    data = run.data
    return refit_prior(
        require(run.model, HasPrior),
        data.x,
        data.codes,
        data.observed,
        initialize=start,
        polish=polish,
        seed=seed + run.progress.epoch,
    )


def initialize_prior(
    prior: PriorSection, module: Any, z: Tensor, codes: Tensor, observed: Tensor, *, seed: int = 0
) -> None:
    """Starts a prior from codes in the way that its settings name."""
    if prior.order == "information":
        module.set_order(information_order(module.sites, z, codes, observed))
    if prior.initialize == "axes":
        initialize_from_axes(module, z, codes, observed, seed=seed)
    elif prior.initialize == "clusters":
        initialize_from_clusters(module, z, codes, observed, seed=seed)
    else:
        initialize_from_mixtures(module, z, seed=seed)


def _draw(seed: int, model: nn.Module) -> Tensor:
    return require(model, Samples).sample(GRID, seed=seed).x


def _write(path: Path, grid: Tensor) -> None:
    save_grid_picture(quantize(grid).cpu().numpy(), path)
