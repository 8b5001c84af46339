"""Validation, every way in which a run ends, what it leaves behind, and mistakes named."""

import importlib.util
import json
import math
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import SGD

from tnprior_models import (
    ModelError,
    NonFiniteLossError,
    Objective,
    TrainConfig,
    Trainer,
    TrainingInterrupted,
    load_training_state,
    load_weights,
)
from tnprior_models.training import (
    Callback,
    Constant,
    Cosine,
    StopReason,
    Warmup,
    read_metrics,
)
from tnprior_models.training.interrupt import caught_signals


def _worker():
    path = Path(__file__).with_name("training_worker.py")
    spec = importlib.util.spec_from_file_location("training_worker", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


worker = _worker()
Line, Trace, numbers, train = worker.Line, worker.Trace, worker.numbers, worker.train_here


# ---------------------------------------------------------------- validation and stops


def test_validation_is_the_mean_over_examples(tmp_path):
    """11 examples of which no batch of 4 has an equal share, with the averaged weights, in evaluation mode."""
    modes = []

    def loss(batch):
        modes.append(model.training)
        return {"loss": batch[0].mean() + 0 * model.w}

    model = Line(loss=loss)
    validation = numbers(*range(11))
    train(model, numbers(1.0, 2.0), epochs=1, batch_size=4, validation=validation, directory=tmp_path)
    assert read_metrics(tmp_path / "metrics.jsonl")[0]["validation/line/loss"] == pytest.approx(5.0)
    assert modes == [True, False, False, False]
    assert model.training


def test_the_best_weights_are_kept(tmp_path):
    scores = iter([3.0, 1.0, 2.0, 5.0])
    trace = Trace()
    result = train(
        Line(rate=0.1),
        numbers(4.0),
        trace,
        epochs=4,
        batch_size=1,
        directory=tmp_path,
        evaluate=lambda model: {"score": next(scores)},
        higher_is_better=False,
    )
    assert (result.best, result.best_epoch) == (1.0, 2)
    model = Line()
    facts = load_weights(tmp_path / "model.safetensors", model)["training"]
    assert facts["epoch"] == 2
    assert float(model.w.detach()) == float(trace.weights[1])
    assert load_training_state(tmp_path / "checkpoints/best")["progress"]["epoch"] == 2
    assert load_training_state(tmp_path / "checkpoints/last")["progress"]["epoch"] == 4


def test_higher_can_be_better_and_monitors_are_checked():
    scores = iter([3.0, 5.0, 2.0, 4.0, 4.0])
    result = train(
        Line(),
        numbers(4.0),
        epochs=9,
        batch_size=1,
        patience=3,
        higher_is_better=True,
        monitor="validation/score",
        evaluate=lambda model: {"other": 0.0, "score": next(scores)},
    )
    assert (result.reason, result.epoch, result.best, result.best_epoch) == (StopReason.EARLY, 5, 5.0, 2)
    with pytest.raises(
        ModelError, match="monitor: expected one of validation/line/loss, received 'nonsense'"
    ):
        train(Line(), numbers(4.0), epochs=1, validation=numbers(4.0), monitor="nonsense")
    with pytest.raises(ModelError, match="early stopping needs validation examples"):
        train(Line(), numbers(4.0), patience=3)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_its_place_and_keeps_the_checkpoint(tmp_path, bad):
    def loss(batch):
        calls.append(1)
        kl = model.w * (bad if len(calls) == 5 else 1.0)
        return {"loss": kl + batch[0].mean(), "kl": kl, "fit": batch[0].mean()}

    calls = []
    model = Line(rate=0.1, loss=loss)
    trace = Trace()
    with pytest.raises(
        NonFiniteLossError, match=rf"epoch 3, step 5, objective 'line': the term 'kl' is {bad}"
    ):
        train(model, numbers(1.0, 2.0), trace, epochs=4, batch_size=1, directory=tmp_path)
    assert load_training_state(tmp_path / "checkpoints/last")["progress"]["step"] == 4
    assert math.isfinite(model.w.detach())  # the update was not made
    assert trace.calls[-1] == "after_training failed"


def test_a_gradient_that_is_not_finite_is_noticed_before_the_update():
    model = Line(loss=lambda batch: {"loss": (model.w - 1.0).abs().sqrt()})
    with pytest.raises(NonFiniteLossError, match="the term 'grad_norm' is"):
        train(model, numbers(1.0), epochs=1)
    assert float(model.w.detach()) == 1.0


def test_a_time_limit_saves_and_returns(tmp_path):
    class Slow(Callback):
        def after_step(self, run):
            time.sleep(0.03)

    begun = time.monotonic()
    result = train(
        Line(), numbers(*range(50)), Slow(), epochs=100, batch_size=1, max_minutes=0.02, directory=tmp_path
    )
    assert result.reason is StopReason.TIME
    assert 1.2 <= time.monotonic() - begun < 10
    assert 0 < result.step < 50
    assert load_training_state(tmp_path / "checkpoints/last")["progress"]["step"] == result.step


def test_signals_are_caught_once_and_handlers_put_back(tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    stop = worker.At(3, lambda run: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(TrainingInterrupted, match=r"stopped by SIGTERM after epoch 1, step 3: resume"):
        train(Line(), numbers(1.0, 2.0), stop, epochs=9, batch_size=1, directory=tmp_path)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    with pytest.raises(TrainingInterrupted, match="nothing was saved"):
        train(Line(), numbers(1.0), worker.At(1, stop.action), epochs=9)
    with caught_signals() as interrupts:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # a terminal and a launcher both pass it on
        assert interrupts.requested == "SIGINT"
        interrupts._since -= 10
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


# ---------------------------------------------------------------- the run directory


def test_hooks_in_order():
    trace = Trace()
    train(Line(), numbers(1.0, 2.0), trace, epochs=2, batch_size=1)
    assert trace.calls == [
        "before_training",
        *("before_epoch 0", "after_step 1", "after_step 2", "after_epoch 1"),
        *("before_epoch 1", "after_step 3", "after_step 4", "after_epoch 2"),
        "after_training all epochs done",
    ]


def test_what_a_run_leaves(tmp_path):
    class Peek(Callback):
        def before_epoch(self, run):
            assert load_weights(tmp_path / "model.safetensors", Line())["training"]["step"] == 0

    (tmp_path / ".tnprior-model.safetensors-1.partial").write_text("left by a killed run")
    config = {"epochs": 1, "batch_size": 1, "checkpoint_epochs": 5}
    Trainer(Line(), TrainConfig(**config), numbers(1.0), tmp_path, [Peek()], metadata={"kind": "line"}).fit()
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    tensors = next((tmp_path / "checkpoints/last").glob("tensors-*"))
    assert found == [
        "checkpoints/last/state.json",
        str(tensors.relative_to(tmp_path)),
        "env.json",
        "metrics.jsonl",
        "model.safetensors",
    ]
    metadata = load_weights(tmp_path / "model.safetensors", Line())
    assert metadata["kind"] == "line"
    assert metadata["training"]["step"] == 1
    environment = json.loads((tmp_path / "env.json").read_text())
    assert environment["seed"] == 0
    assert torch.__version__.startswith(environment["versions"]["torch"])
    assert environment["times"]["seconds"] > 0


def test_a_disk_that_fills_up_keeps_the_last_checkpoint(tmp_path):
    """A real file system with room for the first checkpoints only."""
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(mount)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        fill = worker.At(5, lambda run: (mount / "others").write_bytes(bytes(450_000)))
        model = worker.Tiny()
        with pytest.raises(ModelError, match=r"cannot write .*No space left on device"):
            train(model, worker.make_data(), fill, epochs=9, batch_size=25, directory=mount)
        (mount / "others").unlink()
        assert load_training_state(mount / "checkpoints/last")["progress"]["step"] == 4
        assert [entry["epoch"] for entry in read_metrics(mount / "metrics.jsonl")][:2] == [1, 2]
        config = TrainConfig(epochs=9, batch_size=25)
        assert Trainer(worker.Tiny(), config, worker.make_data(), mount).resume().step == 18
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_resuming_before_anything_was_saved_begins(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    config = TrainConfig(epochs=1)
    assert Trainer(Line(), config, numbers(1.0), tmp_path).resume().step == 1
    with pytest.raises(ModelError, match="expected a run directory"):
        Trainer(Line(), config, numbers(1.0)).resume()


def test_a_copied_run_resumes_elsewhere(tmp_path):
    train(Line(), numbers(1.0), epochs=1, directory=tmp_path / "a")
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert Trainer(Line(), TrainConfig(epochs=3), numbers(1.0), tmp_path / "b").resume().step == 3


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"epochs": -1}, "epochs: expected 0 or more, received -1"),
        ({"batch_size": 0}, "batch_size: expected 1 or more, received 0"),
        ({"patience": 0}, "patience: expected 1 or more, received 0"),
        ({"checkpoint_steps": 0}, "checkpoint_steps: expected 1 or more, received 0"),
        ({"clip_norm": 0.0}, "clip_norm: expected a number above 0 or None, received 0.0"),
        ({"max_minutes": math.nan}, "max_minutes: expected a number above 0 or None, received nan"),
        ({"ema_decay": 1.0}, "ema_decay: expected a number between 0 and 1 or None, received 1.0"),
        ({"schedule": {"critic": Constant()}}, "no objective is named 'critic'; the model has line"),
        ({"compile_modules": ("body",)}, "compile_modules: no submodule 'body'"),
    ],
)
def test_settings_out_of_range_are_named(settings_, message):
    with pytest.raises(ModelError, match=message):
        train(Line(), numbers(1.0), **settings_)


def test_schedules_out_of_range_are_named():
    with pytest.raises(ModelError, match="Warmup: expected at least 1 step, received 0"):
        Warmup(0)
    with pytest.raises(ModelError, match=r"Cosine: expected final in \[0, 1\], received 2"):
        Cosine(2.0)


def test_models_that_cannot_be_trained_are_named():
    model = Line(loss=lambda batch: {"error": model.w})
    with pytest.raises(ModelError, match="objective 'line': expected a term named 'loss', received error"):
        train(model, numbers(1.0))
    with pytest.raises(ModelError, match="expected a model that satisfies Trains"):
        train(nn.Linear(1, 1), numbers(1.0))
    twice = Line()
    one = twice.objectives()[0]
    twice.objectives = lambda: (one, one)
    with pytest.raises(ModelError, match=r"distinct names, received \['line', 'line'\]"):
        train(twice, numbers(1.0))
    stranger = Line()
    stranger.objectives = lambda: (
        Objective("line", [nn.Parameter(torch.zeros(7))], stranger.loss, lambda groups: SGD(groups, lr=0.1)),
    )
    with pytest.raises(ModelError, match=r"a parameter of shape \(7,\) does not belong to the model"):
        train(stranger, numbers(1.0))
