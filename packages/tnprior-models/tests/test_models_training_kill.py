"""A training process that is killed leaves a directory from which it goes on, and ends where it would have."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tnprior_models import load_training_state
from tnprior_models.checkpoint.tree import flatten
from tnprior_models.training import read_metrics

WORKER = Path(__file__).with_name("training_worker.py")


def state(directory: Path) -> dict[str, torch.Tensor]:
    return flatten(load_training_state(directory / "checkpoints" / "last"))[1]


@pytest.mark.parametrize(
    ("kills", "epochs"), [(4, 3), pytest.param(20, 12, marks=pytest.mark.slow)], ids=["four", "twenty"]
)
def test_killed_at_random_moments(tmp_path, kills, epochs):
    """Whatever is there loads; in the end it is what a run left in peace gives, random streams included."""
    done = subprocess.run(
        [sys.executable, str(WORKER), "killed", str(tmp_path), str(epochs), str(kills)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    steps = [int(line.split()[0]) for line in done.stdout.splitlines()]
    assert len(steps) == kills
    assert steps == sorted(steps)
    assert len(set(steps)) > kills // 5  # the kills fell into different places
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    mine, others = state(killed), state(whole)
    assert mine.keys() == others.keys()
    assert [name for name, tensor in mine.items() if not torch.equal(tensor, others[name])] == []
    assert [entry["epoch"] for entry in read_metrics(killed / "metrics.jsonl")] == list(range(1, epochs + 1))
    assert not list(killed.rglob("*.partial"))


@pytest.mark.slow
def test_a_signal_writes_a_checkpoint_first(tmp_path):
    process = subprocess.Popen(
        [sys.executable, str(WORKER), "train", str(tmp_path), "2000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "TrainingInterrupted: stopped by SIGTERM after epoch" in errors
    step = load_training_state(tmp_path / "checkpoints" / "last")["progress"]["step"]
    assert f"step {step}:" in errors
