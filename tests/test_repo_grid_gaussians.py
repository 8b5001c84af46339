"""The benchmark of the twenty-five Gaussians counts modes as it says, and runs."""

import importlib
import subprocess
import sys

import pytest
import torch
from repository import ROOT


@pytest.fixture
def grid(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.grid_gaussians")


def test_the_mixture_itself_covers_everything(grid):
    score = grid.judge(grid.grid_points(20_000, seed=1))
    assert score.modes == 25
    # within three standard deviations of the plane's normal: 1 - exp(-9 / 2)
    assert score.share == pytest.approx(0.9889, abs=0.004)


def test_lost_modes_and_points_between_modes_are_seen(grid):
    points = grid.grid_points(20_000, seed=1)
    right = points[points[:, 0] > -3]
    assert grid.judge(right).modes == 20
    between = right + torch.tensor([0.5, 0.0])
    assert grid.judge(between) == (0, 0.0)
    half = torch.cat([right, between[: len(right)]])
    assert grid.judge(half).share == pytest.approx(0.9889 / 2, abs=0.004)


@pytest.mark.slow
def test_it_prints_a_row_for_every_seed_and_prior():
    command = [
        sys.executable,
        "-m",
        "benchmarks.grid_gaussians",
        "--steps",
        "80",
        "--width",
        "16",
        "--seeds",
        "0",
    ]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in printed.splitlines()[1:]]
    assert [row[:2] for row in rows] == [["normal", "0"], ["ring", "0"]]
    assert all(row[2].endswith("/25") and 0 <= float(row[3]) <= 1 for row in rows)
