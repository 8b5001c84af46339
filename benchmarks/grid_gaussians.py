"""Does a learned ring prior keep a GAN from losing modes? Twenty-five Gaussians on a grid in the plane.

python -m benchmarks.grid_gaussians --seeds 0 1 2

WGAN-GP with the same networks and budget, once with N(0, I) and once with a learned tensor ring. A mode is covered
if at least a quarter of its fair share of the samples lies within three standard deviations of it.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from tnprior_core import Gaussian, StandardNormalPrior, TensorRingPrior
from tnprior_core.priors.base import Prior
from tnprior_models import (
    GAN,
    DenseCritic,
    DenseGenerator,
    Pathwise,
    PenalizedWasserstein,
    Reinforce,
    ReparametrizedMeans,
    TrainConfig,
    Trainer,
)
from tnprior_models.estimators import Estimator
from tnprior_models.training import Callback, Cosine, TensorData

SIDE = 5
SPACING = 2.0
SIGMA = 0.05
"""Neighbours are forty standard deviations apart, as in VEEGAN (Srivastava et al. 2017)."""
LATENTS = 2
COMPONENTS = 10
RANK = 8
EXAMPLES = 20_000
BATCH = 256
PENALTY = 0.1
"""Weight of the gradient penalty: that of WGAN-GP's program for toys; with 10 a ring found none in 10,000 updates."""
ESTIMATORS: dict[str, Estimator] = {
    "reinforce": Reinforce(),
    "means": ReparametrizedMeans(),
    "pathwise": Pathwise(floor=0.01),
}


class Score(NamedTuple):
    """Modes covered of 25, and the share of samples within three standard deviations of one."""

    modes: int
    share: float


class Rates(NamedTuple):
    """Adam's step sizes: of both networks, and of the prior."""

    networks: float = 1e-3
    prior: float = 1e-2


@dataclass(frozen=True)
class Held:
    """A factor of 1 for a share of the updates, then half a cosine down to `final`.

    At the full rate generator and critic circle around each other; only the decay lets them come to rest.
    """

    share: float = 0.3
    final: float = 0.01

    def __call__(self, step: int, total: int) -> float:
        """The factor at `step`."""
        start = round(self.share * total)
        return 1.0 if step < start else Cosine(self.final)(step - start, total - start)


def centres() -> Tensor:
    """The 25 modes, (25, 2)."""
    line = SPACING * (torch.arange(SIDE) - (SIDE - 1) / 2)
    return torch.cartesian_prod(line, line)


def grid_points(count: int, seed: int) -> Tensor:
    """Draws of the mixture with equal weights, (count, 2)."""
    generator = torch.Generator().manual_seed(seed)
    mode = torch.randint(SIDE**2, (count,), generator=generator)
    return centres()[mode] + SIGMA * torch.randn(count, 2, generator=generator)


def judge(points: Tensor) -> Score:
    """How points (n, 2) cover the modes; 25 and 0.989 for the mixture itself."""
    distance, nearest = torch.cdist(points, centres()).min(1)
    near = distance <= 3 * SIGMA
    counts = torch.bincount(nearest[near], minlength=SIDE**2)
    return Score(int((counts >= len(points) / SIDE**2 / 4).sum()), float(near.float().mean()))


def narrow_ring(seed: int) -> TensorRingPrior:
    """A ring whose components start apart: a quarter of their distance wide.

    Components that overlap are one smooth hill, and a generator learns to stretch a hill before a critic that sees
    only the hill tells the components to part.
    """
    sites = [Gaussian(f"z{k}", components=COMPONENTS) for k in range(LATENTS)]
    return TensorRingPrior(sites, rank=RANK, width=0.25, seed=seed)


def build(kind: str, estimator: str, seed: int, *, width: int, rates: Rates) -> GAN:
    """A GAN with the prior asked for, "normal" or "ring"; the networks start alike."""
    sites = [Gaussian(f"z{k}", components=1) for k in range(LATENTS)]
    prior: Prior = StandardNormalPrior(sites) if kind == "normal" else narrow_ring(seed)
    torch.manual_seed(seed)
    return GAN(
        DenseGenerator(LATENTS, 2, width=width),
        DenseCritic(2, width=width),
        prior,
        PenalizedWasserstein(learning_rate=rates.networks, weight=PENALTY),
        ESTIMATORS[estimator],
        prior_learning_rate=rates.prior,
    )


def train(gan: GAN, steps: int, seed: int, callbacks: Sequence[Callback] = ()) -> Score:
    """Play `steps` updates of the critic, and judge 10,000 samples of the averaged networks and prior."""
    x = grid_points(EXAMPLES, seed)
    nothing = torch.zeros(len(x), 0)
    data = TensorData(x, nothing.long(), nothing.bool())
    epochs = math.ceil(steps / math.ceil(EXAMPLES / BATCH))
    found: dict[str, float] = {}

    def evaluate(model: torch.nn.Module) -> dict[str, float]:
        if not isinstance(model, GAN):
            raise TypeError(f"expected a GAN, received {type(model).__name__}")
        score = judge(model.sample(10_000, seed=seed).x)
        found.update(score._asdict())
        return {"missed": SIDE**2 - score.modes, "share": score.share}

    config = TrainConfig(
        epochs=epochs,
        batch_size=BATCH,
        seed=seed,
        ema_decay=0.999,
        schedule=Held(),
        validate_epochs=max(epochs, 1),
    )
    Trainer(gan, config, data, callbacks=callbacks, evaluate=evaluate).fit()
    return Score(int(found["modes"]), found["share"])


def main() -> None:
    """Train with both priors for every seed and print a row for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=30_000, help="updates of the critic")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--priors", nargs="+", choices=("normal", "ring"), default=["normal", "ring"])
    parser.add_argument("--estimator", choices=tuple(ESTIMATORS), default="means")
    parser.add_argument("--width", type=int, default=128, help="units of each hidden layer")
    parser.add_argument("--learning-rate", type=float, default=Rates().networks, help="of both networks")
    parser.add_argument("--prior-learning-rate", type=float, default=Rates().prior)
    given = parser.parse_args()
    rates = Rates(given.learning_rate, given.prior_learning_rate)
    print("prior   seed  modes  share within three sigma  seconds", flush=True)
    for seed in given.seeds:
        for kind in given.priors:
            start = time.perf_counter()
            score = train(
                build(kind, given.estimator, seed, width=given.width, rates=rates), given.steps, seed
            )
            seconds = time.perf_counter() - start
            print(f"{kind:7} {seed:4}  {score.modes:2}/25  {score.share:24.3f}  {seconds:7.0f}", flush=True)


if __name__ == "__main__":
    main()
