"""A run that was stopped anywhere and resumed is the run that was never stopped, to the bit."""

import importlib.util
import json
import random
import shutil
import signal
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tnprior_models import CheckpointError, ModelError, TrainConfig, Trainer, TrainingInterrupted
from tnprior_models.checkpoint import load_training_state
from tnprior_models.checkpoint.tree import flatten
from tnprior_models.training import Callback, Cosine, Refit, StopReason, TensorData, Warmup, read_metrics


def _worker() -> ModuleType:
    path = Path(__file__).with_name("training_worker.py")
    spec = importlib.util.spec_from_file_location("training_worker", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


worker = _worker()
STEPS = 18  # 3 epochs of 6 updates: 50 examples in batches of at most 9
SETTINGS: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 9,
    "ema_decay": 0.9,
    "clip_norm": 1.0,
    "accumulate": 2,
    "schedule": {"fit": Warmup(4, Cosine())},
}


def reinitialise(run):
    """A refit that draws random numbers."""
    weight = run.model.critic.weight
    with torch.no_grad():
        weight.copy_(torch.randn_like(weight))
    return [weight]


def trainer(directory: Path | None, *callbacks: Callback, model_seed: int = 0, **changes: Any) -> Trainer:
    return Trainer(
        worker.Tiny(model_seed),
        TrainConfig(**{**SETTINGS, **changes}),
        worker.make_data(),
        directory,
        [Refit(reinitialise, lambda epoch: epoch == 1), *callbacks],
        validation=worker.make_data(20, seed=1),
    )


def facts(directory: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    """All of a checkpoint but the clock, and Python's stream, which beartype's import hook draws from."""
    state = load_training_state(directory / "checkpoints" / "last")
    for clocked in (state["progress"], state["metrics"]):
        clocked.pop("seconds", None)
        clocked.pop("started", None)
    state["random"][0].pop("python")
    return flatten(state)


def log(directory: Path) -> list[dict[str, Any]]:
    entries = read_metrics(directory / "metrics.jsonl")
    return [{name: value for name, value in entry.items() if name != "seconds"} for entry in entries]


def assert_same_run(one: Path, two: Path) -> None:
    (values, tensors), (others, other_tensors) = facts(one), facts(two)
    assert values == others
    assert tensors.keys() == other_tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, other_tensors[name]), name
    assert log(one) == log(two)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("whole")
    result = trainer(directory).fit()
    assert (result.reason, result.step) == (StopReason.EPOCHS, STEPS)
    return directory


def stop_at(step: int) -> Callback:
    return worker.At(step, lambda run: signal.raise_signal(signal.SIGINT))


@settings(max_examples=6, phases=[Phase.explicit, Phase.generate])
@given(st.sets(st.integers(1, STEPS - 1), min_size=1, max_size=3))
def test_stopped_and_resumed_equals_uninterrupted(uninterrupted, tmp_path_factory, stops):
    directory = tmp_path_factory.mktemp("stopped")
    for number, step in enumerate(sorted(stops)):
        with pytest.raises(TrainingInterrupted, match=f"step {step}"):
            trainer(directory, stop_at(step), model_seed=5 * number).resume()
    assert trainer(directory, model_seed=99).resume().step == STEPS
    assert_same_run(directory, uninterrupted)


@pytest.mark.parametrize("step", [4, 9, 17])
def test_resuming_what_a_dead_process_left_equals_uninterrupted(uninterrupted, tmp_path, step):
    """The directory as it lay after some update, with entries and checkpoints of that instant."""
    copy = tmp_path / "copy"
    trainer(
        tmp_path / "run",
        worker.At(step, lambda run: shutil.copytree(run.directory, copy)),
        checkpoint_steps=4,
    ).fit()
    with (copy / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "step": 99}\n{"epoch": 4, "st')
    trainer(copy, checkpoint_steps=None).resume()
    assert load_training_state(copy / "checkpoints" / "last")["progress"]["step"] == STEPS
    assert log(copy) == log(uninterrupted)
    _, tensors = facts(copy)
    for name, tensor in facts(uninterrupted)[1].items():
        assert torch.equal(tensor, tensors[name]), name


def test_the_run_leaves_the_callers_random_streams_alone(tmp_path):
    def draws():
        return torch.rand(1).item(), random.random(), np.random.rand()  # noqa: NPY002

    def seed():
        torch.manual_seed(1)
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002

    seed()
    expected = draws()
    built = trainer(None)
    seed()
    built.fit()
    assert draws() == expected


def test_callbacks_that_draw_do_not_change_the_run(uninterrupted, tmp_path):
    class Drawing(Callback):
        def before_epoch(self, run):
            torch.rand(7)

        def after_epoch(self, run):
            random.random()

    trainer(tmp_path, Drawing()).fit()
    assert_same_run(tmp_path, uninterrupted)


def test_a_finished_run_is_extended(tmp_path):
    """With a schedule that does not look at the total, two epochs and one more are three."""
    longer, shorter = tmp_path / "longer", tmp_path / "shorter"
    trainer(longer, schedule=Warmup(4)).fit()
    trainer(shorter, schedule=Warmup(4), epochs=2).fit()
    before = (shorter / "checkpoints/last/state.json").read_bytes()
    assert trainer(shorter, schedule=Warmup(4), epochs=2).resume().step == 12
    assert (shorter / "checkpoints/last/state.json").read_bytes() == before
    assert trainer(shorter, schedule=Warmup(4)).resume().step == STEPS
    for state in (longer, shorter):
        path = state / "checkpoints/last"
        assert load_training_state(path)["progress"]["epoch"] == 3
    (values, tensors), (others, other_tensors) = facts(longer), facts(shorter)
    assert values["learner"] == others["learner"]
    assert all(torch.equal(tensor, other_tensors[name]) for name, tensor in tensors.items())
    assert log(longer) == log(shorter)


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("seed", {"seed": 3}),
        ("batch_size", {"batch_size": 10}),
        ("ema_decay", {"ema_decay": None}),
        ("schedule", {"schedule": {"fit": Warmup(5, Cosine())}}),
        ("clip_norm", {"clip_norm": 2.0}),
    ],
)
def test_changed_settings_are_named(uninterrupted, tmp_path, key, changes):
    shutil.copytree(uninterrupted, tmp_path, dirs_exist_ok=True)
    with pytest.raises(CheckpointError, match=f"^{key}: the run was trained with"):
        trainer(tmp_path, **changes).resume()


def test_a_changed_optimizer_data_set_or_model_is_named(uninterrupted, tmp_path):
    shutil.copytree(uninterrupted, tmp_path, dirs_exist_ok=True)

    class Hotter(worker.Tiny):
        def objectives(self):
            fit, critic = super().objectives()
            return type(fit)(
                fit.name, fit.parameters, fit.loss, lambda g: torch.optim.Adam(g, lr=0.5)
            ), critic

    class Wider(worker.Tiny):
        def __init__(self):
            super().__init__()
            self.critic = torch.nn.Linear(16, 2)

    data = worker.make_data()
    config = TrainConfig(**SETTINGS)
    with pytest.raises(CheckpointError, match=r"objective 'fit': lr was 0.02, now 0.5"):
        Trainer(Hotter(), config, data, tmp_path).resume()
    with pytest.raises(CheckpointError, match=r"critic.weight has shape \(1, 16\), expected \(2, 16\)"):
        Trainer(Wider(), config, data, tmp_path).resume()
    fewer = TensorData(data.x[:40], data.codes[:40], data.observed[:40])
    with pytest.raises(CheckpointError, match="trained on 50 examples, received 40"):
        Trainer(worker.Tiny(), config, fewer, tmp_path).resume()


def test_fit_refuses_a_directory_with_a_run(uninterrupted):
    with pytest.raises(ModelError, match="already holds a run"):
        trainer(uninterrupted).fit()


def test_the_best_checkpoint_can_be_resumed(uninterrupted, tmp_path):
    shutil.copytree(uninterrupted, tmp_path, dirs_exist_ok=True)
    best = load_training_state(tmp_path / "checkpoints" / "best")["progress"]
    assert best["best_epoch"] == best["epoch"]
    trainer(tmp_path).resume("best")
    assert_same_run(tmp_path, uninterrupted)


def test_early_stopping_state_survives(tmp_path):
    """Validation numbers 3, 2, 2.5, 2.5, ...: best after epoch 2, so patience 2 ends after epoch 4."""
    numbers = iter([3.0, 2.0] + 3 * [2.5] + [3.0, 2.0] + 3 * [2.5])

    def run(directory, *callbacks, **changes):
        return Trainer(
            worker.Tiny(),
            TrainConfig(epochs=9, batch_size=25, **{"patience": 2, **changes}),
            worker.make_data(),
            directory,
            callbacks,
            evaluate=lambda model: {"score": next(numbers)},
        ).resume()

    whole = run(tmp_path / "whole")
    next(numbers)
    assert (whole.reason, whole.epoch, whole.best, whole.best_epoch) == (StopReason.EARLY, 4, 2.0, 2)
    with pytest.raises(TrainingInterrupted):
        run(tmp_path / "stopped", stop_at(6))
    assert run(tmp_path / "stopped").epoch == 4
    assert run(tmp_path / "stopped").reason is StopReason.EARLY
    assert run(tmp_path / "stopped", patience=3).epoch == 5
    entries = [json.loads(line) for line in (tmp_path / "stopped/metrics.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in entries] == [1, 2, 3, 4, 5]
