"""The conformance suite for priors: import it, call it on your own prior, and it checks what users rely on.

Every check compares a query with something computed another way: enumeration of the labels, quadrature over the
latents, or the definition of conditional probability.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from tnprior_core.distributions.base import SiteDistribution
from tnprior_core.distributions.network import TensorRing, TensorTrain
from tnprior_core.evidence import Between, Likelihood, Noisy, Not, OneOf, Word
from tnprior_core.priors.base import Prior
from tnprior_core.sites import Categorical, Gaussian, Site

__all__ = ["Make", "check_prior"]

Make = Callable[[Sequence[Site]], Prior]

LATENTS: Final = (Gaussian("z0", 3), Gaussian("z1", 2))
ATTRIBUTES: Final = (Categorical("a", ("x", "y", "z")), Categorical("b"))
TOLERANCE: Final = 1e-9
_GRID = torch.linspace(-14, 14, 281, dtype=torch.float64)


@dataclass(frozen=True)
class _Case:
    make: Make
    sites: tuple[Site, ...]
    device: torch.device

    def prior(self) -> Prior:
        return self.make(self.sites).double().to(self.device)

    def distribution(self) -> SiteDistribution:
        with torch.no_grad():
            found: SiteDistribution = self.prior()()
            return found

    def values(self, rows: int, seed: int = 0) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        columns = [
            torch.randn(rows, generator=generator).double()
            if isinstance(site, Gaussian)
            else torch.randint(site.states, (rows,), generator=generator).double()
            for site in self.sites
        ]
        return torch.stack(columns, 1).to(self.device)


def check_prior(make: Make, *, attributes: bool = True, devices: Sequence[str] | None = None) -> None:
    """Check a prior against everything a distribution over sites must satisfy; AssertionError says what failed.

    make
        builds the prior for given sites, the same one every time (seed your noise).
    attributes
        False for a prior of latents only.
    devices
        where to check; None means the CPU and, where there is one, CUDA (and that both agree).

    >>> from tnprior_core import TensorTrainPrior
    >>> check_prior(lambda sites: TensorTrainPrior(sites, rank=2))
    """
    sites = (LATENTS[0], ATTRIBUTES[0], LATENTS[1], ATTRIBUTES[1]) if attributes else LATENTS
    if devices is None:
        devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    for device in devices:
        case = _Case(make, sites, torch.device(device))
        for check in _CHECKS:
            check(case)
        if attributes:
            for check in _LABEL_CHECKS:
                check(case)
        p = case.distribution()
        if isinstance(p, TensorTrain | TensorRing):
            _check_network(case, p)
    _check_devices(make, sites, devices)


def _check_total(case: _Case) -> None:
    """The density of the latents integrates to one (trapezoidal rule: exact to rounding for smooth densities)."""
    p = case.distribution()
    grid = torch.cartesian_prod(_GRID, _GRID).to(case.device)
    values, mask = _latents_only(case, grid)
    step = (_GRID[1] - _GRID[0]).item()
    total = p.log_prob(values, mask).exp().sum().item() * step**2
    assert abs(total - 1) < 1e-8, f"the density of the latents integrates to {total}, expected 1"


def _check_quadrature(case: _Case) -> None:
    """Leaving a latent out is integrating over it."""
    p, values = case.distribution(), case.values(3)
    at = case.sites.index(LATENTS[1])
    mask = torch.ones_like(values, dtype=torch.bool)
    mask[:, at] = False
    wide = values.unsqueeze(1).repeat(1, len(_GRID), 1)
    wide[:, :, at] = _GRID.to(case.device)
    step = (_GRID[1] - _GRID[0]).item()
    _close(
        p.log_prob(values, mask), (p.log_prob(wide).exp().sum(1) * step).log(), "marginal = integral", 1e-8
    )


def _check_chain_rule(case: _Case) -> None:
    """log p(v) is the sum of log p(v_k | those before), in any order."""
    p, values = case.distribution(), case.values(4)
    joint = p.log_prob(values)
    count = len(case.sites)
    for order in itertools.islice(itertools.permutations(range(count)), 0, 24, 5):
        total, q = torch.zeros_like(joint), p.observe(values, torch.zeros_like(values, dtype=torch.bool))
        for site in order:
            mask = torch.zeros(count, dtype=torch.bool, device=case.device)
            mask[site] = True
            total = total + q.log_prob(values, mask)
            q = q.observe(values, mask.expand_as(values))
        _close(total, joint, f"chain rule in order {order}")
        _close(q.log_evidence, joint, "evidence of a full table = joint")


def _check_evidence(case: _Case) -> None:
    """Conditioning, then asking, is the joint minus the evidence; conditions compose."""
    p, values = case.distribution(), case.values(5)
    mask = torch.ones(len(case.sites), dtype=torch.bool, device=case.device)
    mask[0] = False
    q = p.condition({LATENTS[0].name: 0.3})
    values[:, 0] = 0.3
    _close(q.log_prob(values), p.log_prob(values) - q.log_evidence, "condition then log_prob")
    _close(q.log_prob(values, mask), q.log_prob(values), "a value that is known adds nothing")
    other = values.clone()
    other[:, 0] = 0.4
    assert bool((q.log_prob(other) == -torch.inf).all()), (
        "expected -inf for a value that contradicts what is known"
    )
    first: dict[str, Word] = {LATENTS[0].name: Between(-1.0, 2.0)}
    second: dict[str, Word] = {LATENTS[1].name: Noisy(0.2, 0.5)}
    both = p.condition({**first, **second})
    two = p.condition(first).condition(second)
    _close(two.log_evidence, both.log_evidence, "conditions compose")
    _close(
        p.condition({}).log_evidence, torch.zeros_like(p.log_evidence), "an empty condition changes nothing"
    )


def _check_soft(case: _Case) -> None:
    """Evidence of an interval and of a noisy measurement against quadrature."""
    p = case.distribution()
    values, mask = _latents_only(case, torch.stack([_GRID, torch.zeros_like(_GRID)], 1).to(case.device))
    mask = mask.clone()
    mask[case.sites.index(LATENTS[1])] = False
    density = p.log_prob(values, mask).exp()
    fine = torch.linspace(-0.5, 1.0, 20001, dtype=torch.float64, device=case.device)
    inside, _ = _latents_only(case, torch.stack([fine, torch.zeros_like(fine)], 1))
    part = torch.trapezoid(p.log_prob(inside, mask).exp(), fine).log()
    name = LATENTS[0].name
    _close(p.condition({name: Between(-0.5, 1.0)}).log_evidence, part, "interval", 1e-7)
    step = (_GRID[1] - _GRID[0]).item()
    noise = torch.exp(-0.5 * ((_GRID - 0.7) / 0.6) ** 2) / (0.6 * (2 * torch.pi) ** 0.5)
    measured = ((density * noise.to(case.device)).sum() * step).log()
    _close(p.condition({name: Noisy(0.7, 0.6)}).log_evidence, measured, "noisy measurement", 1e-8)


def _check_samples(case: _Case) -> None:
    """Samples follow the marginals, do not depend on the batch size, and obey the evidence."""
    p = case.distribution()
    for q in (p, p.condition({LATENTS[1].name: Between(-1.0, 0.5)})):
        draws = q.sample((20_000,), seed=11)
        for at, site in enumerate(case.sites):
            column = draws[:, at]
            if isinstance(site, Gaussian):
                levels = q.marginal(site.name).cdf(column)
                gap = _kolmogorov_smirnov(levels)
                assert gap < 2.3 / len(column) ** 0.5, f"samples of {site.name} miss their marginal by {gap}"
            else:
                _check_frequencies(column.long(), q.marginal(site.name).probs, site.name)  # type: ignore[attr-defined]
        if q is not p:
            inside = draws[:, case.sites.index(LATENTS[1])]
            assert bool(((inside >= -1) & (inside <= 0.5)).all()), "a sample lies outside its interval"
    whole, part = p.sample((300,), seed=5), p.sample((7,), seed=5, first=290)
    assert bool((whole[290:297] == part).all()), "sample i depends on the batch size"
    fixed = p.condition({LATENTS[0].name: 0.25}).sample((5,))
    assert bool((fixed[:, 0] == 0.25).all()), "a known value must be returned as it is"


def _check_rows(case: _Case) -> None:
    """Evidence per example: every row answers as if it were alone."""
    p, values = case.distribution(), case.values(6)
    mask = torch.rand(values.shape, generator=torch.Generator().manual_seed(1)).to(case.device) < 0.5
    q = p.observe(values, mask)
    draws = q.sample((3,), seed=2)
    assert draws.shape == (3, 6, len(case.sites)), f"expected (3, 6, K), received {tuple(draws.shape)}"
    assert bool((draws == values).masked_select(mask.expand_as(draws)).all()), "known values must be returned"
    for row in range(6):
        alone = p.observe(values[row : row + 1], mask[row : row + 1])
        _close(alone.log_evidence, q.log_evidence[row : row + 1], "evidence of one row")
        drawn = alone.sample((3,), seed=2, first_row=row)
        _close(drawn, draws[:, row : row + 1], "samples of one row", 1e-6)


def _check_one_column(case: _Case) -> None:
    """Evidence per example on one site, the others untouched: samples, marginals, and a batch without examples."""
    p, name = case.distribution(), LATENTS[0].name
    measured = torch.tensor([-0.5, 0.1, 1.0], dtype=torch.float64, device=case.device)
    q = p.condition({name: Noisy(measured, 0.3)})
    assert q.sample((2,), seed=1).shape == (2, 3, len(case.sites)), "expected (2, 3, K) samples"
    for row in range(3):
        alone = p.condition({name: Noisy(measured[row], 0.3)})
        _close(q.mean[row], alone.mean, "means of one row")
        _close(q.log_prob(case.values(1))[row], alone.log_prob(case.values(1))[0], "log_prob of one row")
    none = p.condition({name: Noisy(measured[:0], 0.3)})
    for marginal in none.marginals().values():
        assert marginal.batch_shape == (0,), "marginals of a batch without examples"


def _check_gradients_survive(case: _Case) -> None:
    """What is asked without gradients leaves those of a later loss alone."""
    prior, values = case.prior(), case.values(4)
    found = []
    for ask in (False, True):
        prior.zero_grad()
        p = prior()
        if ask:
            p.sample((2,), seed=1)
        if list(prior.parameters()):
            p.log_prob(values).sum().backward()
        found.append([torch.zeros(()) if x.grad is None else x.grad.clone() for x in prior.parameters()])
    for before, after in zip(*found, strict=True):
        _close(after, before, "the gradient after sampling from the same distribution")


def _check_moments(case: _Case) -> None:
    """Means and variances agree with the univariate marginals, the covariance with its diagonal."""
    p = case.distribution().condition({LATENTS[0].name: Between(-2.0, 1.0)})
    latents = [site.name for site in case.sites if isinstance(site, Gaussian)]
    marginals = p.marginals(latents)
    _close(p.mean, torch.stack([marginals[name].mean for name in latents]), "mean")
    _close(p.variance, torch.stack([marginals[name].variance for name in latents]), "variance")
    _close(p.covariance().diagonal(), p.variance, "diagonal of the covariance")


def _check_hygiene(case: _Case) -> None:
    """Empty batches, NaN in unobserved cells, inputs unchanged, gradients everywhere, copies, repr."""
    prior, values = case.prior(), case.values(4)
    p = prior()
    assert p.log_prob(values[:0]).shape == (0,), "an empty batch has an empty answer"
    assert p.sample((0,)).shape == (0, len(case.sites)), "no samples asked, none given"
    assert p.observe(values[:0]).sample((2,)).shape == (2, 0, len(case.sites)), "samples of an empty batch"
    mask = torch.ones_like(values, dtype=torch.bool)
    mask[:, 1] = False
    broken = values.clone()
    broken[:, 1] = torch.nan
    before, held = broken.clone(), mask.clone()
    leaf = broken.requires_grad_()
    _close(p.log_prob(leaf, mask), p.log_prob(values, mask), "unobserved cells may hold anything")
    p.log_prob(leaf, mask).sum().backward(retain_graph=True)
    assert _finite(leaf.grad), "the gradient of the values is not finite"
    if list(prior.parameters()):
        p.log_prob(values).sum().backward()
    assert torch.equal(before.nan_to_num(7.0), leaf.detach().nan_to_num(7.0)), "log_prob changed its input"
    assert torch.equal(mask, held), "log_prob changed its mask"
    for name, parameter in prior.named_parameters():
        assert _finite(parameter.grad), f"no finite gradient reaches {name}"
        assert bool(parameter.grad.count_nonzero()), f"the gradient of {name} is zero"  # type: ignore[union-attr]
    _check_copies(case, prior, values)


def _check_copies(case: _Case, prior: Prior, values: Tensor) -> None:
    twin = copy.deepcopy(prior)
    fresh = case.prior()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape).to(parameter))
        expected = prior().log_prob(values)
        assert not list(prior.parameters()) or not torch.allclose(twin().log_prob(values), expected)
        fresh.load_state_dict(prior.state_dict())
        _close(fresh().log_prob(values), expected, "state_dict round trip")
    assert type(prior).__name__ in repr(prior), "the repr of the prior does not name its class"
    assert case.sites[0].name in repr(prior()), "the repr of the distribution does not name its sites"


def _check_labels(case: _Case) -> None:
    """The probabilities of all labels sum to one; a marginal is the summed joint; kinds of evidence agree."""
    p = case.distribution()
    columns = [case.sites.index(site) for site in ATTRIBUTES]
    table = torch.zeros(6, len(case.sites), dtype=torch.float64, device=case.device)
    mask = torch.zeros(len(case.sites), dtype=torch.bool, device=case.device)
    mask[columns] = True
    table[:, columns] = torch.cartesian_prod(torch.arange(3.0), torch.arange(2.0)).to(table)
    joint = p.log_prob(table, mask).exp().view(3, 2)
    _close(joint.sum(), torch.ones_like(joint.sum()), "all labels sum to one")
    _close(p.marginal("a").probs, joint.sum(1), "marginal = summed joint")  # type: ignore[attr-defined]
    q = p.condition({"b": "1"})
    _close(q.marginal("a").probs, joint[:, 1] / joint[:, 1].sum(), "conditional of a label")  # type: ignore[attr-defined]
    _close(p.condition({"a": OneOf("x", "z")}).log_evidence, joint[[0, 2]].sum().log(), "a set")
    _close(p.condition({"a": Not("x")}).log_evidence, joint[1:].sum().log(), "a negation")
    weights = torch.tensor([0.2, 0.5, 0.1], dtype=torch.float64, device=case.device)
    soft = p.condition({"a": Likelihood(weights)})
    _close(soft.log_evidence, (joint.sum(1) * weights).sum().log(), "likelihoods of labels")
    posterior = joint.sum(1) * weights
    _close(soft.marginal("a").probs, posterior / posterior.sum(), "posterior of likelihoods")  # type: ignore[attr-defined]
    draws = p.sample((20_000,), seed=3)[:, columns].long()
    _check_frequencies(draws[:, 0] * 2 + draws[:, 1], joint.flatten(), "all labels jointly")
    best = p.complete()
    _close(best.log_prob, joint.max().log(), "most probable completion")


def _check_network(case: _Case, p: TensorTrain | TensorRing) -> None:
    """Rescaling a core and changing the gauge at a bond change nothing; rank one means independence."""
    values = case.values(4)
    expected = p.log_prob(values)
    scaled = type(p)(p.legs, [p.cores[0] * 1e3, *p.cores[1:-1], p.cores[-1] * 1e-7], order=p.order)
    _close(scaled.log_prob(values), expected, "rescaling a core")
    # A diagonal gauge keeps the cores non-negative: Q_0 D and D^-1 Q_1.
    gauge = torch.linspace(0.5, 2.0, p.cores[0].shape[2]).to(p.cores[0])
    turned = [p.cores[0] * gauge, p.cores[1] / gauge.unsqueeze(1), *p.cores[2:]]
    _close(type(p)(p.legs, turned, order=p.order).log_prob(values), expected, "a gauge change at a bond")
    single = type(p)(p.legs, [core[:, :1, :1].contiguous() for core in p.cores], order=p.order)
    apart = torch.zeros_like(expected)
    for at in range(len(case.sites)):
        mask = torch.zeros(len(case.sites), dtype=torch.bool, device=case.device)
        mask[at] = True
        apart = apart + single.log_prob(values, mask)
    _close(single.log_prob(values), apart, "rank one means independent sites")


def _check_devices(make: Make, sites: tuple[Site, ...], devices: Sequence[str]) -> None:
    found = []
    for device in devices:
        case = _Case(make, sites, torch.device(device))
        p = case.distribution()
        found.append((p.log_prob(case.values(5)).cpu(), p.sample((50,), seed=1).cpu()))
    for log_prob, draws in found[1:]:
        _close(log_prob, found[0][0], "log_prob on every device")
        _close(draws, found[0][1], "samples on every device", 1e-5)


def _latents_only(case: _Case, grid: Tensor) -> tuple[Tensor, Tensor]:
    columns = [case.sites.index(site) for site in LATENTS]
    values = torch.zeros(len(grid), len(case.sites), dtype=torch.float64, device=case.device)
    values[:, columns] = grid
    mask = torch.zeros(len(case.sites), dtype=torch.bool, device=case.device)
    mask[columns] = True
    return values, mask


def _finite(gradient: Tensor | None) -> bool:
    return gradient is not None and bool(torch.isfinite(gradient).all())


def _close(found: Tensor, expected: Tensor, what: str, tolerance: float = TOLERANCE) -> None:
    gap = (found - expected).abs().max().item() if found.numel() else 0.0
    assert found.shape == expected.shape, f"{what}: shapes {tuple(found.shape)} and {tuple(expected.shape)}"
    assert gap <= tolerance, (
        f"{what}: expected {expected.flatten()[:4]}, received {found.flatten()[:4]}, gap {gap:.2g}"
    )


def _check_frequencies(codes: Tensor, probs: Tensor, what: str) -> None:
    count = len(codes)
    seen = torch.bincount(codes, minlength=len(probs)).double()
    sigma = (count * probs * (1 - probs)).sqrt().clamp_min(1.0)
    worst = ((seen - count * probs) / sigma).abs().max().item()
    assert worst < 5, f"{what}: sample frequencies are {worst:.1f} standard deviations off"


def _kolmogorov_smirnov(levels: Tensor) -> float:
    ordered = levels.sort().values
    steps = torch.arange(1, len(ordered) + 1, dtype=ordered.dtype, device=ordered.device) / len(ordered)
    return float((ordered - steps).abs().max())


_CHECKS = (
    _check_total,
    _check_quadrature,
    _check_chain_rule,
    _check_evidence,
    _check_soft,
    _check_samples,
    _check_rows,
    _check_one_column,
    _check_gradients_survive,
    _check_moments,
    _check_hygiene,
)
_LABEL_CHECKS = (_check_labels,)
