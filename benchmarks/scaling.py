"""How does each cost grow with the number of sites, components, rank and batch?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from benchmarks.log_prob import forward, step
from benchmarks.report import Table
from benchmarks.settings import Settings
from benchmarks.timing import compete
from tnprior_core import TensorRingPrior, TensorTrainPrior

AXES = {
    "sites": (25, 50, 100, 200),
    "components": (5, 10, 20),
    "rank": (5, 10, 20, 40),
    "batch": (32, 128, 512),
}


def run(settings: Settings) -> Iterator[Table]:
    """One axis at a time, the others as in the bars with rank 20."""
    for axis, sizes in AXES.items():
        rows = []
        for kind in (TensorTrainPrior, TensorRingPrior):
            for size in sizes:
                rank = size if axis == "rank" else 20
                here = settings if axis == "rank" else replace(settings, **{axis: size})
                rows.append(
                    (
                        kind.__name__.removeprefix("Tensor").removesuffix("Prior").lower(),
                        str(size),
                        *_costs(here, kind, rank),
                    )
                )
        yield Table(
            f"Growth with {axis}",
            (
                "network",
                axis,
                "forward",
                "forward and backward",
                f"{settings.draws} samples",
                "one sample per row of evidence",
            ),
            tuple(rows),
        )


def _costs(
    settings: Settings, kind: type[TensorRingPrior] | type[TensorTrainPrior], rank: int
) -> tuple[str, ...]:
    prior, points = settings.prior(kind, rank), settings.points()
    known = (torch.arange(settings.sites) % 2 == 0).expand(settings.batch, -1).to(settings.device)
    found = compete(
        {
            "forward": forward(lambda x: prior().log_prob(x), points),
            "both": step(lambda x: prior().log_prob(x), points, list(prior.parameters())),
            "samples": lambda: prior().sample((settings.draws,), seed=1),
            "conditional": lambda: prior().observe(points, known).sample((1,), seed=1),
        },
        replace(settings, repeats=min(3, settings.repeats)),
    )
    return tuple(f"{timing.median * 1e3:.3g} ms" for timing in found.values())
