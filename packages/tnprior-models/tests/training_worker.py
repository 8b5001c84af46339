"""A tiny model that draws from every random stream, and a script that trains it in processes of its own.

`train DIR EPOCHS` trains or resumes; `killed DIR EPOCHS KILLS` does so again and again and kills itself;
`group DIR BATCH ACCUMULATE STOP` trains in two processes without noise; `fail HOW` fails in one of two;
`leave -` aborts after the work is done.
"""

import atexit
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD

from tnprior_models import (
    Batch,
    ModelError,
    Objective,
    TrainConfig,
    Trainer,
    launch,
    load_training_state,
    load_weights,
    process_group,
)
from tnprior_models.checkpoint import has_training_state
from tnprior_models.training import Callback, Run, TensorData, TrainResult, Warmup

SIDE = 4


def numpy_draw() -> float:
    return float(np.random.rand())  # noqa: NPY002 - the global stream is what is tested


class Tiny(nn.Module):
    """An autoencoder with batch norm and noise, and a critic that is stepped every second time.

    `draw` is one more random factor of the noise. Python's own stream serves only in processes without
    beartype's import hook, which draws from it to pick the list items that it checks.
    """

    def __init__(
        self, seed: int = 0, *, noise: float = 0.1, every: int = 2, draw: Callable[[], float] | None = None
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 5), nn.BatchNorm1d(5), nn.Tanh())
        self.decoder = nn.Linear(5, SIDE * SIDE)
        self.critic = nn.Linear(SIDE * SIDE, 1)
        self.register_buffer("order", torch.tensor([3, 0, 2, 1]))
        self.noise, self.every, self.draw = noise, every, draw or numpy_draw
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))

    def objectives(self) -> tuple[Objective, ...]:
        fit = [*self.encoder.parameters(), *self.decoder.parameters()]
        return (
            Objective("fit", fit, self.fit_loss, lambda groups: torch.optim.Adam(groups, lr=0.02)),
            Objective(
                "critic",
                list(self.critic.parameters()),
                self.critic_loss,
                lambda groups: torch.optim.SGD(groups, lr=0.05, momentum=0.9),
                every=self.every,
            ),
        )

    def reconstruct(self, x: Tensor) -> Tensor:
        z = self.encoder(x)
        return self.decoder(z + self.noise * (1 + self.draw()) * torch.randn_like(z))

    def fit_loss(self, batch: Batch) -> dict[str, Tensor]:
        x, codes, _ = batch
        error = (self.reconstruct(x) - x.flatten(1)).square().mean()
        shift = (self.encoder(x).mean(1) - codes[:, 0]).square().mean()
        return {"loss": error + 0.1 * shift, "error": error, "shift": shift}

    def critic_loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"loss": (self.critic(batch[0].flatten(1)) - 1).square().mean()}


class Plain(Tiny):
    """Without batch norm and noise: the gradient of a batch is the mean of its examples' gradients."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed, noise=0.0)
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 5), nn.Tanh())
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.encoder.parameters():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))


def make_data(count: int = 50, seed: int = 0) -> TensorData:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 256, (count, 1, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    codes = torch.randint(0, 2, (count, 1), generator=generator)
    return TensorData(x, codes, torch.ones(count, 1, dtype=torch.bool))


class Line(nn.Module):
    """Minimises the mean of (w - x)^2 / 2 by gradient descent: w <- w - rate (w - mean x)."""

    def __init__(self, rate=0.5, loss=None):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(1.0))
        self.rate, self.loss = rate, loss or self.half_square

    def half_square(self, batch):
        return {"loss": (self.w - batch[0]).square().mean() / 2}

    def objectives(self):
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return (Objective("line", trained, self.loss, lambda groups: SGD(groups, lr=self.rate)),)


def numbers(*values):
    x = torch.tensor(values, dtype=torch.float32).reshape(-1, 1)
    return TensorData(
        x, torch.zeros(len(values), 1, dtype=torch.int64), torch.ones(len(values), 1, dtype=torch.bool)
    )


class Trace(Callback):
    """The weight and the learning rate after every update."""

    def __init__(self):
        self.weights, self.calls = [], []

    def before_training(self, run):
        self.calls.append("before_training")

    def before_epoch(self, run):
        self.calls.append(f"before_epoch {run.progress.epoch}")

    def after_step(self, run):
        self.calls.append(f"after_step {run.progress.step}")
        self.weights.append(next(run.model.parameters()).detach().double().clone())

    def after_epoch(self, run):
        self.calls.append(f"after_epoch {run.metrics['epoch']}")

    def after_training(self, run, reason):
        self.calls.append(f"after_training {reason}")


def train_here(model, data, *callbacks, directory=None, validation=None, evaluate=None, **settings_):
    return Trainer(
        model, TrainConfig(**settings_), data, directory, callbacks, validation=validation, evaluate=evaluate
    ).fit()


class At(Callback):
    """Calls an action after one update."""

    def __init__(self, step: int, action: Callable[[Run], object]) -> None:
        self.step, self.action = step, action

    def after_step(self, run: Run) -> None:
        if run.progress.step == self.step:
            self.action(run)


class Announce(Callback):
    """Writes a line to a file descriptor when training is about to begin."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def before_training(self, run: Run) -> None:
        os.write(self.descriptor, b"ready\n")


def train(directory: Path, epochs: int, descriptor: int) -> TrainResult:
    config = TrainConfig(epochs=epochs, batch_size=10, ema_decay=0.9, checkpoint_steps=2, schedule=Warmup(3))
    model, validation = Tiny(draw=random.random), make_data(20, seed=1)
    return Trainer(
        model, config, make_data(), directory, [Announce(descriptor)], validation=validation
    ).resume()


def train_killed(directory: Path, epochs: int, kills: int) -> None:
    """Fork, train, kill at a random moment, load what is there; then train in peace, here and beside it."""
    moments = random.Random(0)
    for kill in range(kills):
        ready, descriptor = os.pipe()
        child = os.fork()
        if child == 0:
            train(directory / "killed", epochs, descriptor)
            os._exit(0)
        if kill % 4:  # every fourth kill may hit the very beginning
            os.read(ready, 1)
        time.sleep(moments.uniform(0, 0.15))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(descriptor)
        report(directory / "killed")
    for name in ("killed", "whole"):
        train(directory / name, epochs, sys.stderr.fileno())


def report(directory: Path) -> None:
    """The step that the checkpoint and the weights of a dead process hold, -1 for none."""
    steps = [-1, -1]
    if has_training_state(directory / "checkpoints" / "last"):
        steps[0] = load_training_state(directory / "checkpoints" / "last")["progress"]["step"]
    if (directory / "model.safetensors").exists():
        steps[1] = load_weights(directory / "model.safetensors", Tiny())["training"]["step"]
    sys.stdout.write(f"{steps[0]} {steps[1]}\n")


def train_in_group(directory: Path, batch: int, accumulate: int, stop: int) -> tuple[int, float]:
    with process_group("cpu") as device:
        rank = torch.distributed.get_rank()
        callbacks = [At(stop, lambda run: signal.raise_signal(signal.SIGTERM))] if stop else []
        trainer = Trainer(
            Plain(seed=rank),  # rank 0's weights are everybody's
            group_config(batch, accumulate),
            make_data(),
            directory,
            callbacks,
            validation=make_data(3, seed=1),
            device=device,
        )
        result = trainer.resume()
        return result.step, result.metrics["fit/loss"]


def group_config(batch: int, accumulate: int) -> TrainConfig:
    return TrainConfig(epochs=2, batch_size=batch, accumulate=accumulate, clip_norm=0.5, ema_decay=0.9)


def abort_when_taken_apart() -> int:
    """Leave behind what a thread of torch sometimes does: an abort in the exit of the process."""
    atexit.register(os.abort)
    return int(os.environ["RANK"])


def fail(how: str) -> None:
    """In the second process only."""
    if os.environ["RANK"] == "1":
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise ModelError("no such prior") if how == "ours" else ZeroDivisionError("a bug")


if __name__ == "__main__":
    what, where, *rest = sys.argv[1:]
    numbers = [int(number) for number in rest]
    if what == "train":
        train(Path(where), *numbers, sys.stdout.fileno())
    elif what == "fail":
        launch(fail, 2, where)
    elif what == "leave":
        sys.stdout.write(f"{launch(abort_when_taken_apart, 2)}\n")
    elif what == "killed":
        train_killed(Path(where), *numbers)
    else:
        launch(train_in_group, 2, Path(where), *numbers)
