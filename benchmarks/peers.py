"""Other libraries with a comparable model, imported when they are there.

A hidden Markov model with as many states as the rank is a tensor train with shared components. hmmlearn's is
homogeneous and works in float64 on one core; Pyro's has its own transitions at every step.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable

import numpy
import torch

from benchmarks.settings import Settings

Calls = dict[str, Callable[[], object]]


def missing(*modules: str) -> tuple[str, ...]:
    """One line for every module that is not installed."""
    return tuple(
        f"{module} is not installed: left out (pip install hmmlearn pyro-ppl numba)"
        for module in modules
        if importlib.util.find_spec(module) is None
    )


def hmmlearn_calls(settings: Settings, rank: int) -> Calls:
    """Forward pass, one iteration of expectation maximisation, and samples of hmmlearn's scaled GaussianHMM."""
    if missing("hmmlearn"):
        return {}
    from hmmlearn.hmm import GaussianHMM

    logging.getLogger("hmmlearn").setLevel(logging.ERROR)
    model = GaussianHMM(rank, implementation="scaling", n_iter=1, init_params="", random_state=0)
    rng = numpy.random.default_rng(0)
    model.startprob_ = numpy.full(rank, 1 / rank)
    model.transmat_ = rng.dirichlet(numpy.ones(rank), rank)
    model.means_, model.covars_ = numpy.linspace(-2, 2, rank)[:, None], numpy.full((rank, 1), 0.3)
    table = settings.points().cpu().double().numpy().reshape(-1, 1)
    lengths = [settings.sites] * settings.batch

    def iterate() -> None:
        model.fit(table, lengths)

    def sample() -> None:
        for _ in range(settings.batch):
            model.sample(settings.sites)

    return {
        "hmmlearn forward": lambda: model.score(table, lengths),
        "hmmlearn EM iteration": iterate,
        "hmmlearn sample": sample,
    }


def pyro_calls(settings: Settings, rank: int) -> Calls:
    """Samples and densities of Pyro's DiscreteHMM."""
    if missing("pyro"):
        return {}
    import pyro.distributions as dist

    device, length = settings.device, settings.sites
    model = dist.DiscreteHMM(
        torch.randn(rank, device=device),
        torch.randn(length, rank, rank, device=device),
        dist.Normal(torch.linspace(-2, 2, rank, device=device).expand(length, -1), 0.5),
        duration=length,
        validate_args=False,
    )
    points = settings.points()

    def log_prob() -> None:
        with torch.no_grad():
            model.log_prob(points)

    return {"pyro forward": log_prob, "pyro sample": lambda: model.sample((settings.batch,))}


def mixture_calls(settings: Settings) -> Calls:
    """Density and samples of a Gaussian mixture of K N diagonal components, torch's MixtureSameFamily."""
    from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

    count, device = settings.sites * settings.components, settings.device
    parts = Independent(Normal(torch.randn(count, settings.sites, device=device), 1.0), 1)
    model = MixtureSameFamily(Categorical(torch.ones(count, device=device)), parts, validate_args=False)
    points = settings.points()

    def log_prob() -> None:
        with torch.no_grad():
            model.log_prob(points)

    return {
        "torch mixture forward": log_prob,
        "torch mixture sample": lambda: model.sample((settings.batch,)),
    }
