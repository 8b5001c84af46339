"""Two processes over gloo train what one process trains."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tnprior_models import ModelError, Trainer, launch, load_training_state
from tnprior_models.checkpoint.tree import flatten
from tnprior_models.training import read_metrics

WORKER = Path(__file__).with_name("training_worker.py")


def _worker():
    spec = importlib.util.spec_from_file_location("training_worker", WORKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


worker = _worker()


def two_processes(directory: Path, batch: int, accumulate: int, stop: int = 0) -> subprocess.CompletedProcess:
    arguments = [str(number) for number in (batch, accumulate, stop)]
    return subprocess.run(
        [sys.executable, str(WORKER), "group", str(directory), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def one_process(directory: Path, batch: int) -> None:
    Trainer(
        worker.Plain(seed=0),
        worker.group_config(batch, 1),
        worker.make_data(),
        directory,
        validation=worker.make_data(3, seed=1),
    ).fit()


def assert_close(one: Path, two: Path) -> None:
    """Weights, averages, optimiser states and reported numbers agree up to float32 rounding."""
    (_, first), (_, second) = (
        flatten(load_training_state(run / "checkpoints" / "last")["learner"]) for run in (one, two)
    )
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.allclose(tensor.double(), second[name].double(), rtol=1e-4, atol=1e-6), name
    for entry, other in zip(
        read_metrics(one / "metrics.jsonl"), read_metrics(two / "metrics.jsonl"), strict=True
    ):
        for name in entry.keys() - {"seconds"}:
            assert entry[name] == pytest.approx(other[name], rel=1e-4), name


def test_two_processes_train_what_one_does(tmp_path):
    """50 examples in batches of 9 and 8, so one process has 5 and the other 4, and both accumulate."""
    ended = two_processes(tmp_path / "two", 9, 2)
    assert ended.returncode == 0, ended.stderr
    one_process(tmp_path / "one", 9)
    assert_close(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_two_processes_stop_and_go_on(tmp_path):
    stopped = two_processes(tmp_path / "two", 9, 1, stop=7)
    assert "TrainingInterrupted: stopped by SIGTERM after epoch 1, step 7" in stopped.stderr
    assert load_training_state(tmp_path / "two/checkpoints/last")["progress"]["step"] == 7
    ended = two_processes(tmp_path / "two", 9, 1)
    assert ended.returncode == 0, ended.stderr
    one_process(tmp_path / "one", 9)
    assert_close(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_batches_of_one_example(tmp_path):
    """One process has nothing to do but must reduce all the same."""
    ended = two_processes(tmp_path / "two", 1, 1)
    assert ended.returncode == 0, ended.stderr
    one_process(tmp_path / "one", 1)
    assert_close(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("ours", "tnprior_models.errors.ModelError: no such prior"),
        ("killed", "tnprior_models.errors.ModelError: process 1 terminated with signal SIGKILL"),
        ("bug", "ZeroDivisionError: a bug"),
    ],
)
def test_a_process_that_fails_ends_the_others(how, message):
    ended = subprocess.run(
        [sys.executable, str(WORKER), "fail", how], capture_output=True, text=True, check=False, timeout=300
    )
    assert ended.returncode == 1
    assert message in ended.stderr


def test_an_abort_after_the_work_is_done_fails_nothing():
    ended = subprocess.run(
        [sys.executable, str(WORKER), "leave", "-"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == ["0"]


def test_launch_on_one_device_calls():
    assert launch(sorted, 1, [3, 1, 2]) == [1, 2, 3]
    with pytest.raises(ModelError, match="devices: expected 1 or more, received 0"):
        launch(sorted, 0, [])
