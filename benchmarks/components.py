"""How much faster are mixtures than those of torch.distributions, and rings of places than autograd through a scan?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from benchmarks.log_prob import step
from benchmarks.report import Table
from benchmarks.settings import Settings
from benchmarks.timing import compete
from tnprior_core import FactorRingPrior, Gaussian, GaussianMixturePrior

MIXTURES = (160, 16), (640, 16), (1280, 128)
"""Components and latents."""
RINGS = (160, 3), (80, 5)
"""Places and factors of two points, 16 latents."""


def run(settings: Settings) -> Iterator[Table]:
    """One table: densities and their gradients."""
    rows = []
    for components, latents in MIXTURES:
        prior = GaussianMixturePrior(_sites(latents), components, width=0.61).to(settings.device)
        rows.append(
            (f"mixture of {components}, {latents} latents", *_contest(settings, prior, latents, _mixture))
        )
    for places, factors in RINGS:
        prior = FactorRingPrior(_sites(16), places, points=2, factors=factors, width=0.61).to(settings.device)
        rows.append((f"ring of {places} places, {factors} factors", *_contest(settings, prior, 16, _scan)))
    yield Table(
        f"Priors of components: log_prob forward and backward of {settings.batch} against the plain formula",
        ("prior", "ours", "torch.distributions, or a scan", "ratio"),
        tuple(rows),
    )


def _sites(latents: int) -> list[Gaussian]:
    return [Gaussian(f"z{k}") for k in range(latents)]


def _contest(
    settings: Settings,
    prior: torch.nn.Module,
    latents: int,
    plain: Callable[[torch.nn.Module, Tensor], Tensor],
) -> tuple[str, str, str]:
    points = settings.points(latents)
    torch.testing.assert_close(prior().log_prob(points), plain(prior, points), rtol=1e-4, atol=1e-3)
    parameters = list(prior.parameters())
    calls = {
        "ours": step(lambda x: prior().log_prob(x), points, parameters),
        "plain": step(lambda x: plain(prior, x), points, parameters),
    }
    found = compete(calls, settings)
    return str(found["ours"]), str(found["plain"]), f"{found['plain'].median / found['ours'].median:.1f}x"


def _mixture(prior: torch.nn.Module, points: Tensor) -> Tensor:
    components = Independent(_normal(prior.mean.mT, prior.log_sigma.mT), 1, validate_args=False)
    weights = Categorical(logits=prior.logits, validate_args=False)
    return MixtureSameFamily(weights, components, validate_args=False).log_prob(points)


def _scan(prior: torch.nn.Module, points: Tensor) -> Tensor:
    """In log space, site after site, the gradients left to autograd."""
    ring = prior()
    log_moves, message = ring.transitions.log(), ring.opening.log()  # (K - 1, C, U, U) and (C, U)
    for k, at in enumerate(ring.order):
        group, row = ring.legs.where[at]
        density = _normal(group.mean[row], group.log_sigma[row]).log_prob(points[:, at : at + 1])
        if k:
            message = torch.logsumexp(message.unsqueeze(3) + log_moves[k - 1], 2)
        message = message + density.unflatten(1, ring.opening.shape)  # (B, C, U)
    return torch.logsumexp(message.logsumexp(2) + ring.log_weight, 1)


def _normal(mean: Tensor, log_sigma: Tensor) -> Normal:
    return Normal(mean, log_sigma.exp(), validate_args=False)
