"""How much faster are exact samples through bond indices than the chain rule, and than other libraries?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from benchmarks import peers
from benchmarks.report import Table
from benchmarks.settings import Settings
from benchmarks.straightforward import StraightforwardRing
from benchmarks.timing import compete
from tnprior_core import TensorRing, TensorRingPrior, TensorTrainPrior
from tnprior_core.compiled import machine_code


def run(settings: Settings) -> Iterator[Table]:
    """Ring against the chain rule, train against the hidden Markov models."""
    yield _against_chain_rule(settings)
    yield _against_peers(settings)


def straightforward(settings: Settings, rank: int, *, lean: bool) -> StraightforwardRing:
    """The competitor with random parameters of the same sizes."""
    generator = torch.Generator().manual_seed(0)
    shape = (settings.sites, settings.components, rank, rank)
    cores = torch.rand(shape, generator=generator) / (settings.components * rank)
    mean = torch.linspace(-2, 2, settings.components).repeat(settings.sites, 1)
    return StraightforwardRing(
        cores.to(settings.device),
        mean.to(settings.device),
        torch.full_like(mean, 0.5).to(settings.device),
        lean=lean,
    )


def _against_chain_rule(settings: Settings) -> Table:
    rows, without = [], peers.missing("numba") if settings.device.type == "cpu" else ()
    for rank in settings.ranks:
        with torch.no_grad():
            chain = {
                name: straightforward(settings, rank, lean=lean)
                for name, lean in (("printed", False), ("lean", True))
            }
            compiled = settings.device.type == "cpu" and not without
            ours = _ours(settings, rank, ", without numba" if compiled else "", fast=False)
            if compiled:
                ours = _ours(settings, rank, "", fast=True) | ours
            calls = {name: lambda ring=ring: ring.sample(settings.batch) for name, ring in chain.items()}
            found = compete(ours | calls, settings)
        each = {name: found[name].median / settings.batch for name in chain}
        for title in ours:
            one = found[title].median / settings.draws
            rows.append(
                (
                    str(rank),
                    title,
                    str(found[title]),
                    f"{one * 1e6:.2f} us",
                    *(f"{time * 1e6:.0f} us" for time in each.values()),
                    *(f"{time / one:.0f}x" for time in each.values()),
                )
            )
    return Table(
        f"Ring: {settings.draws} samples against the chain rule at batch {settings.batch}, per sample (bar: 300x)",
        (
            "rank",
            "",
            "ours, all",
            "ours",
            "chain rule as printed",
            "chain rule, lean",
            "ratio",
            "ratio to lean",
        ),
        tuple(rows),
        (
            "The first calls include the tables, and cores, too, if they start from parameters; a distribution keeps "
            "both for the calls that follow. The chain rule starts from cores.",
            *without,
        ),
    )


def _ours(settings: Settings, rank: int, remark: str, *, fast: bool) -> peers.Calls:
    """Calls from parameters, from cores and from a distribution that was asked before, with or without machine code."""
    prior = settings.prior(TensorRingPrior, rank)
    p = prior()

    def call(make: Callable[[], TensorRing]) -> Callable[[], None]:
        def sample() -> None:
            with machine_code(fast):
                make().sample((settings.draws,), seed=1)

        return sample

    return {
        f"from parameters{remark}": call(prior),
        f"from cores{remark}": call(lambda: TensorRing(p.legs, p.cores)),
        f"following calls{remark}": call(lambda: p),
    }


def _against_peers(settings: Settings) -> Table:
    rows = []
    for rank in settings.ranks:
        prior = settings.prior(TensorTrainPrior, rank)
        p = prior()
        contest = {
            "ours, first call": lambda prior=prior: prior().sample((settings.batch,), seed=1),
            "ours, following calls": lambda p=p: p.sample((settings.batch,), seed=1),
        }
        for calls in (
            peers.hmmlearn_calls(settings, rank),
            peers.pyro_calls(settings, rank),
            peers.mixture_calls(settings),
        ):
            contest |= {name: call for name, call in calls.items() if name.endswith("sample")}
        with torch.no_grad():
            found = compete(contest, settings)
        first, again = (found[name].median for name in ("ours, first call", "ours, following calls"))
        for name, timing in found.items():
            ratios = (f"{timing.median / again:.0f}x", f"{timing.median / first:.0f}x")
            rows.append((str(rank), name, str(timing), *(("", "") if name.startswith("ours") else ratios)))
    return Table(
        f"Train: {settings.batch} samples of {settings.sites} sites against other libraries (bar: 50x for the HMMs)",
        ("rank", "contestant", "time", "ratio", "ratio to the first call"),
        tuple(rows),
        (
            "The other libraries keep their models between calls, and so does ours: the ratio is to its following "
            "calls. Its first call starts from the parameters and makes the tables.",
            *peers.missing("hmmlearn", "pyro"),
        ),
    )
