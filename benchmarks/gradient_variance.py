"""How noisy are the estimates of a learned prior's gradient while a GAN trains?

python -m benchmarks.gradient_variance --seed 100

The twenty-five Gaussians of `grid_gaussians.py` with a learned ring. At some points of the training everything is
held, and every estimator answers many times with 256 fresh draws: the same gradient in expectation, each with a
variance of its own.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.grid_gaussians import BATCH, ESTIMATORS, Rates, build, train
from benchmarks.report import Table, show
from tnprior_models import GAN, Pathwise, Reinforce, ReparametrizedMeans
from tnprior_models.estimators import Estimator
from tnprior_models.training import Callback
from tnprior_models.training.run import Run

CONTESTANTS: Mapping[str, Estimator] = {
    "Reinforce": Reinforce(),
    "ReparametrizedMeans": ReparametrizedMeans(),
    "Pathwise": Pathwise(),
    "Pathwise, floor 0.01": Pathwise(floor=0.01),
}
KINDS = ("raw_cores", "mean", "log_sigma")
REPEATS = 200


class Noise(NamedTuple):
    """Of one estimator: total variance and squared length of the mean by kind of parameter, and milliseconds."""

    variance: dict[str, float]
    signal: dict[str, float]
    milliseconds: float


def measure(gan: GAN, estimator: Estimator, repeats: int) -> Noise:
    """Ask an estimator many times for the gradient of the prior as it is now."""
    names, parameters = zip(*gan.prior.named_parameters(), strict=True)
    found: dict[str, list[Tensor]] = {kind: [] for kind in KINDS}
    start = time.perf_counter()
    for _ in range(repeats):
        loss = estimator(gan.prior(), BATCH, gan.cost).loss
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        for kind in KINDS:
            own = [g.flatten() for name, g in zip(names, gradients, strict=True) if name.startswith(kind)]
            found[kind].append(torch.cat(own))
    spent = (time.perf_counter() - start) / repeats
    draws = {kind: torch.stack(rows).double() for kind, rows in found.items()}
    variance = {kind: float(rows.var(0).sum()) for kind, rows in draws.items()}
    signal = {
        kind: float(rows.mean(0).square().sum()) - variance[kind] / repeats for kind, rows in draws.items()
    }
    return Noise(variance, signal, spent * 1e3)


class Watch(Callback):
    """Measures all estimators after the epochs asked for."""

    def __init__(self, after: Sequence[int], repeats: int) -> None:
        """Note when."""
        self.after, self.repeats = frozenset(after), repeats
        self.rows: list[tuple[str, ...]] = []

    def after_epoch(self, run: Run) -> None:
        """Measure on the networks as they are, not their averages."""
        if run.progress.epoch not in self.after or not isinstance(run.model, GAN):
            return
        noises = {name: measure(run.model, one, self.repeats) for name, one in CONTESTANTS.items()}
        first = noises["Reinforce"].variance
        for name, noise in noises.items():
            shares = (f"{noise.variance[kind] / first[kind]:.3g}" for kind in KINDS)
            signal = max(sum(noise.signal.values()), 0.0)
            ratio = f"{sum(noise.variance.values()) / signal:.3g}" if signal > 0 else "no signal"
            self.rows.append((str(run.progress.step), name, *shares, ratio, f"{noise.milliseconds:.3g} ms"))


def main() -> None:
    """Train once, measuring on the way, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=30_000, help="updates of the critic")
    parser.add_argument(
        "--at", type=int, nargs="+", default=[1, 25, 76, 152, 304, 380], help="epochs of 79 updates"
    )
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--estimator", choices=tuple(ESTIMATORS), default="means", help="that trains")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    given = parser.parse_args()
    watch = Watch(given.at, given.repeats)
    gan = build("ring", given.estimator, given.seed, width=128, rates=Rates())
    score = train(gan, given.steps, given.seed, [watch])
    show(
        Table(
            f"The gradient of a ring prior from {BATCH} draws, trained by {given.estimator!r}",
            ("updates", "estimator", "cores", "means", "widths", "variance to signal", "time"),
            tuple(watch.rows),
            (
                f"Total variance of {given.repeats} estimates by kind of parameter, relative to Reinforce, and of all "
                "of them to the squared length of their mean.",
                f"The training ended with {score.modes} of 25 modes and {score.share:.3f} of the samples in one.",
            ),
        )
    )


if __name__ == "__main__":
    main()
