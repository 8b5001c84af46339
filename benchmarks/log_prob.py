"""How much faster is the contraction with its hand-written backward than autograd through a scan, and than HMMs?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks import peers
from benchmarks.report import Table
from benchmarks.sampling import straightforward
from benchmarks.settings import Settings
from benchmarks.timing import compete
from tnprior_core import TensorRingPrior, TensorTrainPrior
from tnprior_core.compiled import machine_code


def run(settings: Settings) -> Iterator[Table]:
    """Ring against autograd, train against hmmlearn and others."""
    yield _ring(settings)
    yield _train(settings)


def step(
    log_prob: Callable[[Tensor], Tensor], points: Tensor, parameters: list[Tensor]
) -> Callable[[], None]:
    """A call that computes the gradients of the mean log-density."""

    def call() -> None:
        for parameter in parameters:
            parameter.grad = None
        log_prob(points).mean().backward()

    return call


def forward(log_prob: Callable[[Tensor], Tensor], points: Tensor) -> Callable[[], None]:
    """A call that computes log-densities alone."""

    def call() -> None:
        with torch.no_grad():
            log_prob(points)

    return call


def _ours(settings: Settings, call: Callable[[], None], name: str) -> dict[str, Callable[[], None]]:
    """The call, and on the CPU, where numba is installed, also without it."""
    if settings.device.type != "cpu" or peers.missing("numba"):
        return {name: call}

    def fast() -> None:
        with machine_code(True):
            call()

    def plain() -> None:
        with machine_code(False):
            call()

    return {name: fast, f"{name}, without numba": plain}


def _ring(settings: Settings) -> Table:
    rows, points = [], settings.points()
    for rank in settings.ranks:
        prior = settings.prior(TensorRingPrior, rank)
        density = lambda x, prior=prior: prior().log_prob(x)  # noqa: E731
        ours = _ours(settings, step(density, points, list(prior.parameters())), "ours")
        scans = {}
        for name, lean in (("as printed", False), ("lean", True)):
            ring = straightforward(settings, rank, lean=lean)
            parameters = [
                ring.cores.requires_grad_(),
                ring.mean.requires_grad_(),
                ring.sigma.requires_grad_(),
            ]
            scans[name] = step(ring.log_prob, points, parameters)
        found = compete(ours | scans, settings)
        rows += [
            (
                str(rank),
                name,
                *(str(found[each]) for each in (name, *scans)),
                *(f"{found[each].median / found[name].median:.1f}x" for each in scans),
            )
            for name in ours
        ]
    return Table(
        f"Ring: log_prob forward and backward of {settings.batch} against autograd through a scan (bar: 3x)",
        ("rank", "", "time", "scan as printed", "scan, lean", "ratio", "ratio to lean"),
        tuple(rows),
        peers.missing("numba") if settings.device.type == "cpu" else (),
    )


def _train(settings: Settings) -> Table:
    rows, points = [], settings.points()
    for rank in settings.ranks:
        prior = settings.prior(TensorTrainPrior, rank)
        density = lambda x, prior=prior: prior().log_prob(x)  # noqa: E731
        both = step(density, points, list(prior.parameters()))
        contest = _ours(settings, forward(density, points), "ours forward")
        contest |= _ours(settings, both, "ours forward and backward")
        calls = (
            peers.hmmlearn_calls(settings, rank)
            | peers.pyro_calls(settings, rank)
            | peers.mixture_calls(settings)
        )
        contest |= {name: call for name, call in calls.items() if not name.endswith("sample")}
        found = compete(contest, settings)
        for name, timing in found.items():
            against = "ours forward and backward" if name.endswith("iteration") else "ours forward"
            ratio = "" if name.startswith("ours") else f"{found[against].median / timing.median:.2f} of it"
            rows.append((str(rank), name, str(timing), ratio))
    return Table(
        "Train: log_prob against other libraries (bar: forward at most 1.00 of hmmlearn's, both at most 1.50 of EM)",
        ("rank", "contestant", "time", "ours takes"),
        tuple(rows),
        peers.missing("hmmlearn", "pyro"),
    )
