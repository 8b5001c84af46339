"""What does a learned ring prior add to a training step of a GAN of the paper's size?

python -m benchmarks.gan_step --threads 1 --repeats 3

WGAN-GP at 64x64 with the networks, latents, components, rank and batch of TRIP's public program. Every round plays, as
the training loop does, one update of the critic and one of the generator, with N(0, I) and with a ring, and for the
ring one of the prior by each of the estimators. A cycle is five updates of the critic and one of each of the others.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch

from benchmarks.report import Table, show
from tnprior_core import Gaussian, StandardNormalPrior, TensorRingPrior
from tnprior_core.priors.base import Prior
from tnprior_models import (
    GAN,
    ConvCritic,
    ConvGenerator,
    Pathwise,
    PenalizedWasserstein,
    Reinforce,
    ReparametrizedMeans,
    TrainConfig,
)
from tnprior_models.estimators import Estimator
from tnprior_models.objective import Batch
from tnprior_models.training.distributed import Alone
from tnprior_models.training.learner import Learner
from tnprior_models.training.stepper import Part, Stepper

BAR = 1.3
PACE = 5
"""Updates of the critic per update of the others."""
ESTIMATORS: dict[str, Estimator] = {
    "Reinforce": Reinforce(),
    "ReparametrizedMeans": ReparametrizedMeans(),
    "Pathwise": Pathwise(),
}
NORMAL = "N(0, I)"


class Contestant:
    """A GAN with its optimisers, played one update of every kind at a time."""

    def __init__(self, prior: Prior, estimators: dict[str, Estimator], given: argparse.Namespace) -> None:
        """Build the networks, and one objective of the prior for each way to learn it."""
        torch.manual_seed(0)
        shape = (3, given.size, given.size)
        networks = (
            ConvGenerator(shape, given.latents, width=given.width),
            ConvCritic(shape, width=given.width),
        )
        device, config = torch.device(given.device), TrainConfig(ema_decay=0.999)
        gan = GAN(*networks, prior, PenalizedWasserstein(critic_steps=PACE)).to(device).train()
        self.learner = Learner(gan, config, Alone())
        self.steppers = {s.name: s for s in self.learner.steppers if s.name != "prior"}
        for name, estimator in estimators.items():
            other = GAN(gan.generator, gan.critic, prior, gan.game, estimator)
            self.steppers[name] = Stepper(other, other.objectives()[-1], config, Alone())

    def updates(self, batch: Batch, clock: Clock) -> dict[str, float]:
        """Play one update of every kind, as the training loop does, and give its seconds by name."""
        parts = [Part(batch, 1.0, 1.0)]
        spent = {name: clock(partial(_update, stepper, parts)) for name, stepper in self.steppers.items()}
        return {**spent, "average": clock(self.learner.stepped)}


def _update(stepper: Stepper, parts: Sequence[Part]) -> None:
    terms = stepper.backward(parts, 0)
    stepper.update(0, 1)
    float(terms["loss"])


@dataclass(frozen=True)
class Clock:
    """Seconds of a call, to the end of what it started on the device; wall time or the processor's."""

    device: torch.device
    now: Callable[[], float]

    def __call__(self, call: Callable[[], object]) -> float:
        """Call, and time it."""
        start = self.now()
        call()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return self.now() - start


def compete(given: argparse.Namespace, clock: Clock) -> dict[str, dict[str, list[float]]]:
    """Seconds per update of every kind, and per cycle, by contestant, after a round with few examples."""
    normal = Contestant(StandardNormalPrior(_sites(given)), {}, given)
    ring = Contestant(TensorRingPrior(_sites(given), rank=given.rank), ESTIMATORS, given)
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in (NORMAL, *ESTIMATORS)}
    for contestant in (normal, ring):
        contestant.updates(_batch(given, 2), clock)
    for _ in range(given.repeats):
        plain, learned = (one.updates(_batch(given, given.batch), clock) for one in (normal, ring))
        for name, kinds in found.items():
            spent = plain if name == NORMAL else learned
            own = {kind: took for kind, took in spent.items() if kind not in ESTIMATORS}
            if name != NORMAL:
                own["prior"] = spent[name]
            own["cycle"] = sum(own.values()) + (PACE - 1) * (own["critic"] + own["average"])
            for kind, took in own.items():
                kinds[kind].append(took)
    return found


def _batch(given: argparse.Namespace, count: int) -> Batch:
    none = torch.zeros(count, 0, device=given.device)
    return torch.rand(count, 3, given.size, given.size, device=given.device), none.long(), none.bool()


def _sites(given: argparse.Namespace) -> list[Gaussian]:
    return [Gaussian(f"z{k}", components=given.components) for k in range(given.latents)]


def prior_alone(given: argparse.Namespace, clock: Clock) -> dict[str, list[float]]:
    """Seconds of what a ring adds without any network: sampling, and each estimator on a linear cost."""
    prior = TensorRingPrior(_sites(given), rank=given.rank).to(given.device)
    weight = torch.randn(given.latents, device=given.device)

    def sample() -> None:
        with torch.no_grad():
            prior().sample((given.batch,))

    def estimate(estimator: Estimator) -> None:
        prior.zero_grad()
        estimator(prior(), given.batch, lambda values: torch.tanh(values @ weight)).loss.backward()

    calls: dict[str, Callable[[], None]] = {"sampling": sample}
    for name, estimator in ESTIMATORS.items():
        calls[name] = lambda estimator=estimator: estimate(estimator)  # type: ignore[misc]
    found: dict[str, list[float]] = defaultdict(list)
    for repeat in range(given.repeats + 1):
        for name, call in calls.items():
            took = clock(call)
            if repeat:
                found[name].append(took)
    return found


def cycle_table(found: dict[str, dict[str, list[float]]], given: argparse.Namespace) -> Table:
    """Medians, and the median over the rounds of the ratio to N(0, I) in the same round."""
    rows = []
    kinds = ("critic", "generator", "prior")
    for name, spent in found.items():
        ratios = [own / other for own, other in zip(spent["cycle"], found[NORMAL]["cycle"], strict=True)]
        cells = [f"{median(spent[kind]):.3g} s" if spent[kind] else "" for kind in kinds]
        label = name if name == NORMAL else f"ring, {name}"
        rows.append((label, *cells, f"{median(spent['cycle']):.3g} s", f"{median(ratios):.3f}"))
    return Table(
        f"A cycle of WGAN-GP at {given.size}x{given.size}, width {given.width}, batch {given.batch}: "
        f"{given.latents} latents, {given.components} components, rank {given.rank} (bar: {BAR} times N(0, I))",
        ("prior", *(f"{kind} update" for kind in kinds), "cycle", "ratio"),
        tuple(rows),
        (f"Medians of {given.repeats} interleaved rounds; the median ratio is taken within each round.",),
    )


def prior_table(found: dict[str, list[float]], given: argparse.Namespace) -> Table:
    """Medians of the prior's own work."""
    rows = [
        (name, f"{median(spent) * 1e3:.3g} ms ({min(spent) * 1e3:.3g} to {max(spent) * 1e3:.3g})")
        for name, spent in found.items()
    ]
    return Table(
        f"The prior's own work for {given.batch} codes, without any network", ("what", "time"), tuple(rows)
    )


def main() -> None:
    """Play the rounds and print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch")
    parser.add_argument("--repeats", type=int, default=5, help="timed rounds")
    parser.add_argument(
        "--cpu-time", action="store_true", help="processor time, for a busy machine and 1 thread"
    )
    for name, value in (("size", 64), ("width", 64), ("batch", 256), ("latents", 128)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--components", type=int, default=10)
    parser.add_argument("--rank", type=int, default=40)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    clock = Clock(torch.device(given.device), time.process_time if given.cpu_time else time.perf_counter)
    show(prior_table(prior_alone(given, clock), given))
    show(cycle_table(compete(given, clock), given))


if __name__ == "__main__":
    main()
