"""What do the posteriors of forty attributes cost, compared with one log_prob?"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.report import Table
from benchmarks.settings import Settings
from benchmarks.timing import compete
from tnprior_core import Categorical, Gaussian, TensorRingPrior, TensorTrainPrior

ATTRIBUTES = 40


def run(settings: Settings) -> Iterator[Table]:
    """One batch of observed latents, all attributes unknown."""
    rows = []
    latents = settings.sites - ATTRIBUTES
    sites = [Gaussian(f"z{k}", components=settings.components) for k in range(latents)]
    sites += [Categorical(f"y{k}") for k in range(ATTRIBUTES)]
    points, names = settings.points(), [f"y{k}" for k in range(ATTRIBUTES)]
    observed = (torch.arange(settings.sites) < latents).expand(settings.batch, -1).to(settings.device)
    for kind in (TensorTrainPrior, TensorRingPrior):
        for rank in settings.ranks:
            with torch.no_grad():
                p = kind(sites, rank=rank, seed=1).to(settings.device)()
            found = compete(
                {
                    "one log_prob": lambda p=p: p.log_prob(points, observed),
                    "all posteriors": lambda p=p: p.observe(points, observed).marginals(names),
                },
                settings,
            )
            ratio = found["all posteriors"].median / found["one log_prob"].median
            name = "train" if kind is TensorTrainPrior else "ring"
            rows.append((name, str(rank), *(str(timing) for timing in found.values()), f"{ratio:.2f}x"))
    yield Table(
        f"Posteriors of all {ATTRIBUTES} binary attributes of {settings.batch} examples (bar: at most 3x)",
        ("network", "rank", "one log_prob", "all posteriors", "ratio"),
        tuple(rows),
    )
