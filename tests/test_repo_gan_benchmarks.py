"""The benchmarks of GANs compute what their tables say, and run."""

import argparse
import importlib
import subprocess
import sys

import pytest
import torch
from repository import ROOT


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: importlib.import_module(f"benchmarks.{name}")


def test_a_ratio_is_taken_within_its_round(benchmark):
    program = benchmark("gan_step")
    given = argparse.Namespace(size=8, width=4, batch=2, latents=2, components=2, rank=2, repeats=3)
    plain = {"critic": [1.0] * 15, "generator": [1.0] * 3, "prior": [], "cycle": [6.0, 12.0, 6.0]}
    ring = {"critic": [1.0] * 15, "generator": [2.0] * 3, "prior": [0.6] * 3, "cycle": [6.6, 13.2, 9.0]}
    rows = program.cycle_table({program.NORMAL: plain, "Pathwise": ring}, given).rows
    assert rows[0] == ("N(0, I)", "1 s", "1 s", "", "6 s", "1.000")
    assert rows[1] == ("ring, Pathwise", "1 s", "2 s", "0.6 s", "9 s", "1.100")


def test_every_kind_of_update_is_timed(benchmark):
    program = benchmark("gan_step")
    given = argparse.Namespace(
        size=8, width=2, batch=4, latents=3, components=2, rank=2, repeats=2, device="cpu"
    )
    ticks = iter(range(1000))
    found = program.compete(given, program.Clock(torch.device("cpu"), lambda: float(next(ticks))))
    assert list(found) == ["N(0, I)", "Reinforce", "ReparametrizedMeans", "Pathwise"]
    for name, spent in found.items():
        learned = name != "N(0, I)"
        assert [len(spent[kind]) for kind in ("critic", "generator", "prior")] == [2, 2, 2 * learned]
        assert spent["cycle"] == [5 + 1 + 5 + learned] * 2


def test_variance_and_signal_of_an_estimate_whose_moments_are_known(benchmark):
    """The loss is a normal number times the sum of the means: its gradient has mean 3 and variance 4 in each."""
    program, grid = benchmark("gradient_variance"), benchmark("grid_gaussians")
    gan = grid.build("ring", "means", 0, width=4, rates=grid.Rates())
    torch.manual_seed(0)

    def estimate(distribution, n, cost):
        factor = 3 + 2 * torch.randn(())
        loss = factor * sum(group.mean.sum() for group in distribution.legs.groups)
        return argparse.Namespace(loss=loss)

    noise = program.measure(gan, estimate, 2000)
    size = grid.LATENTS * grid.COMPONENTS
    assert noise.variance["mean"] == pytest.approx(4 * size, rel=0.1)
    assert noise.signal["mean"] == pytest.approx(9 * size, rel=0.1)
    assert noise.variance["raw_cores"] == noise.variance["log_sigma"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("gan_step", "--size", "8", "--width", "2", "--batch", "4", "--latents", "3", "--rank", "2"),
        ("gradient_variance", "--steps", "79", "--at", "1", "--repeats", "2"),
    ],
)
def test_they_print_a_table(command):
    program = [sys.executable, "-m", f"benchmarks.{command[0]}", *command[1:]]
    printed = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(name in printed for name in ("Reinforce", "ReparametrizedMeans", "Pathwise"))
