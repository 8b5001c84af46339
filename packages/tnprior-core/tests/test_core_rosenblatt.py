"""Scores of latents: against closed forms, conditional distribution functions, the density, and back again."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import kstest, norm

from tnprior_core import (
    Between,
    Categorical,
    FactorRingPrior,
    FlowPrior,
    Gaussian,
    GaussianMixturePrior,
    ImpossibleEvidenceError,
    Legs,
    Mixture,
    Noisy,
    NormalMixture,
    OneOf,
    QueryError,
    ShapeError,
    StandardNormalPrior,
    TensorRingPrior,
    TensorTrainPrior,
    inverse_rosenblatt,
    rosenblatt,
)
from tnprior_core.quantile import normal_score, quantile

SITES = [
    Gaussian("z0", 3),
    Categorical("a", ("x", "y", "z")),
    Gaussian("z1", 2),
    Categorical("b"),
    Gaussian("z2", 4),
]
LATENTS = [0, 2, 4]
ORDERS = {
    "train": (0, 1, 2, 3, 4),
    "train, other order": (4, 1, 0, 3, 2),
    "ring": (0, 1, 2, 3, 4),
    "ring, other order": (2, 3, 4, 0, 1),
    "mixture": (0, 1, 2, 3, 4),
    "factor ring": (3, 1, 4, 0, 2),
}
PRIORS = {
    "train": lambda: TensorTrainPrior(SITES, rank=3),
    "train, other order": lambda: TensorTrainPrior(SITES, rank=3, order=ORDERS["train, other order"]),
    "ring": lambda: TensorRingPrior(SITES, rank=3),
    "ring, other order": lambda: TensorRingPrior(SITES, rank=3, order=ORDERS["ring, other order"]),
    "mixture": lambda: GaussianMixturePrior(SITES, components=4),
    "factor ring": lambda: FactorRingPrior(SITES, components=3, points=2, order=ORDERS["factor ring"]),
}
EVIDENCE = {
    "nothing": {},
    "a label": {"a": "y"},
    "a set and an interval": {"a": OneOf("x", "z"), "z1": Between(-0.5, 1.5)},
    "half a line and a measurement": {"z0": Between(-math.inf, 0.3), "z2": Noisy(0.6, 0.7)},
}


def made(name):
    """A prior in float64 whose parameters are far from any symmetry."""
    prior = PRIORS[name]().double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter_name, parameter in prior.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(0.2 * noise - 0.5 if "log_sigma" in parameter_name else parameter + 0.7 * noise)
    return prior


def latents(values):
    return values[..., LATENTS]


@pytest.mark.parametrize("known", EVIDENCE)
@pytest.mark.parametrize("name", PRIORS)
def test_scores_are_those_of_the_conditional_distribution_functions(name, known):
    """`F(z_k | z_<k)` from the marginals of what the earlier latents leave, in chain order."""
    p = made(name)().condition(EVIDENCE[known])
    values = p.sample((6,), seed=1)
    found = rosenblatt(p, latents(values))
    before = torch.zeros(5, dtype=torch.bool)
    for site in (site for site in ORDERS[name] if site in LATENTS):
        q = p.observe(values, before)
        level = q.marginal(SITES[site].name).cdf(values[:, site])
        torch.testing.assert_close(
            torch.special.ndtr(found[:, LATENTS.index(site)]), level, rtol=1e-9, atol=1e-12
        )
        before[site] = True


@pytest.mark.parametrize("known", EVIDENCE)
@pytest.mark.parametrize("name", PRIORS)
def test_there_and_back(name, known):
    p = made(name)().condition(EVIDENCE[known])
    z = latents(p.sample((40,), seed=2))
    torch.testing.assert_close(inverse_rosenblatt(p, rosenblatt(p, z)), z, rtol=0, atol=1e-8)
    scores = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(rosenblatt(p, inverse_rosenblatt(p, scores)), scores, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", PRIORS)
def test_the_density_is_the_normal_one_times_the_jacobian(name):
    """`log p(z) = sum log N(e_k; 0, 1) + log |de/dz|`, the determinant from finite differences of the map."""
    p = made(name)()
    values = p.sample((3,), seed=5)
    mask, step = torch.tensor([True, False, True, False, True]), 1e-5
    for row in values:
        z = latents(row)
        moved = z + step * torch.cat([torch.eye(3), -torch.eye(3)]).double()
        ends = rosenblatt(p, moved)
        jacobian = (ends[:3] - ends[3:]).mT / (2 * step)
        expected = p.log_prob(row, mask).item()
        normal = torch.distributions.Normal(0.0, 1.0).log_prob(rosenblatt(p, z)).sum()
        assert (normal + jacobian.det().abs().log()).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["train, other order", "ring", "mixture", "factor ring"])
def test_samples_score_as_independent_standard_normals(name):
    p = made(name)().condition({"a": OneOf("x", "y")})
    scores = rosenblatt(p, latents(p.sample((20_000,), seed=7)))
    for column in scores.mT:
        assert kstest(column.cpu().numpy(), "norm").pvalue > 1e-3
    for power in (scores, scores.square() - 1):
        covariance = power.mT @ power / len(power)
        apart = covariance - covariance.diag().diag()
        assert apart.abs().max().item() < 5 * covariance.diag().max().item() / len(power) ** 0.5


@pytest.mark.parametrize("name", ["train", "ring, other order", "mixture", "factor ring"])
def test_normal_noise_becomes_samples(name):
    p = made(name)().condition({"b": "1"})
    noise = torch.randn(20_000, 3, generator=torch.Generator().manual_seed(1)).double()
    z = inverse_rosenblatt(p, noise)
    for column, site in zip(z.mT, LATENTS, strict=True):
        assert kstest(p.marginal(SITES[site].name).cdf(column).cpu().numpy(), "uniform").pvalue > 1e-3
    gap = (torch.cov(z.mT) - p.covariance()).abs().max().item()
    assert gap < 6 * p.variance.max().item() / len(z) ** 0.5


def one_mixture(pi, mean, sigma):
    pi, mean, sigma = (torch.tensor(x, dtype=torch.float64) for x in (pi, mean, sigma))
    return Mixture(Legs.of([Gaussian("z", len(pi))], {"z": (mean, sigma.log())}), pi.log())


def test_one_normal_is_standardised_however_far_out():
    mean, log_sigma = torch.tensor([0.7]).double(), torch.tensor([-0.3]).double()
    z = torch.linspace(-25, 25, 101).double().unsqueeze(1)
    legs = Legs.of([Gaussian("z", 1)], {"z": (mean, log_sigma)})
    p = Mixture(legs, torch.zeros(1).double())
    expected = (z - mean) / log_sigma.exp()
    torch.testing.assert_close(rosenblatt(p, z), expected, rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(inverse_rosenblatt(p, expected), z, rtol=1e-13, atol=1e-14)


def test_one_mixture_against_scipy():
    pi, mean, sigma = [0.2, 0.5, 0.3], [-4.0, 0.5, 3.0], [0.3, 1.0, 0.6]
    p = one_mixture(pi, mean, sigma)

    def level(z):
        return sum(w * norm.cdf(z, m, s) for w, m, s in zip(pi, mean, sigma, strict=True))

    z = torch.linspace(-5.5, 5.5, 45).double()
    expected = torch.tensor([norm.ppf(level(x)) for x in z.tolist()])
    torch.testing.assert_close(rosenblatt(p, z.unsqueeze(1)).squeeze(1), expected, rtol=1e-9, atol=1e-9)
    scores = torch.linspace(-5, 5, 41).double()
    roots = [brentq(lambda x, e=e: level(x) - norm.cdf(e), -30, 30, xtol=1e-13) for e in scores.tolist()]
    inverse = inverse_rosenblatt(p, scores.unsqueeze(1)).squeeze(1)
    assert inverse[4:-4].tolist() == pytest.approx(roots[4:-4], rel=1e-9, abs=1e-9)
    assert bool((inverse.diff() > 0).all())


def test_standard_normal_latents_are_their_own_scores():
    p = StandardNormalPrior(SITES)().condition({"a": "x"})
    z = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(rosenblatt(p, z), z)
    torch.testing.assert_close(inverse_rosenblatt(p, z), z)


component = st.tuples(st.floats(0.01, 1.0), st.floats(-5.0, 5.0), st.floats(-3.0, 2.0))


@settings(max_examples=50)
@given(
    components=st.lists(component, min_size=1, max_size=6),
    ends=st.one_of(st.none(), st.tuples(st.floats(-6.0, 6.0), st.floats(0.01, 5.0))),
    scores=st.lists(st.floats(-12.0, 12.0), min_size=1, max_size=8),
)
def test_a_quantile_has_the_score_that_was_asked_for(components, ends, scores):
    """To what a float64 can say: where the density is nearly zero, the last bits of z move the score."""
    weights, mean, log_sigma = torch.tensor(components, dtype=torch.float64).mT
    low, high = (-math.inf, math.inf) if ends is None else (ends[0], ends[0] + ends[1])
    low, high = torch.tensor([low, high], dtype=torch.float64)
    law = NormalMixture(weights / weights.sum(), mean, log_sigma.exp(), low, high)
    rows = NormalMixture(*(x.unsqueeze(0) for x in (law.weights, mean, log_sigma.exp(), low, high)))
    wanted = torch.tensor(scores, dtype=torch.float64)
    # An interval two hundred standard deviations out has a distribution function of seven digits, not sixteen.
    wanted, tolerance = (wanted, 1e-9) if ends is None else (wanted / 3, 1e-6)
    z = quantile(rows, wanted)
    assert bool(((low <= z) & (z <= high)).all())
    ulp = 4 * torch.finfo(torch.float64).eps * z.abs().clamp_min(1e-6)
    around = torch.stack([normal_score(rows, torch.clamp(z + sign * ulp, low, high)) for sign in (-1, 1)])
    assert bool((around[0] <= wanted + tolerance).all())
    assert bool((around[1] >= wanted - tolerance).all())


@pytest.mark.parametrize("name", PRIORS)
def test_evidence_per_example(name):
    p = made(name)()
    table, seen = p.sample((3,), seed=9), torch.tensor([False, True, False, True, False])
    q = p.observe(table, seen)
    z = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    found, back = rosenblatt(q, z), inverse_rosenblatt(q, z)
    assert found.shape == back.shape == (4, 3, 3)
    for row in range(3):
        alone = p.observe(table[row : row + 1], seen)
        torch.testing.assert_close(rosenblatt(alone, z[:, row : row + 1]), found[:, row : row + 1])
        torch.testing.assert_close(inverse_rosenblatt(alone, z[:, row : row + 1]), back[:, row : row + 1])
    torch.testing.assert_close(rosenblatt(q, z[0, 0]), rosenblatt(q, z[0, 0].expand(3, 3)))
    intervals = p.condition({"z1": Between(torch.tensor([-1.0, 0.0]), torch.tensor([0.5, 2.0]))})
    inside = latents(intervals.sample((5,), seed=1))
    torch.testing.assert_close(
        inverse_rosenblatt(intervals, rosenblatt(intervals, inside)), inside, rtol=0, atol=1e-8
    )


def test_shapes_and_marginals():
    p = made("ring")()
    assert rosenblatt(p, torch.zeros(3)).shape == (3,)
    assert rosenblatt(p, torch.zeros(2, 0, 3)).shape == (2, 0, 3)
    assert inverse_rosenblatt(p, torch.zeros(0, 3)).shape == (0, 3)
    turned = p.marginal(["z2", "b", "z0"])
    z = latents(p.sample((5,), seed=1))[:, [2, 0]]
    scores = rosenblatt(turned, z)
    torch.testing.assert_close(torch.special.ndtr(scores[:, 1]), p.marginal("z0").cdf(z[:, 1]))
    torch.testing.assert_close(inverse_rosenblatt(turned, scores), z)


@pytest.mark.parametrize("base", ["train", "mixture"])
def test_behind_a_flow(base):
    prior = FlowPrior(PRIORS[base](), layers=3, hidden=6).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in prior.flow.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    p = prior().condition({"a": "y"})
    z = latents(p.sample((2, 30), seed=3))
    scores = rosenblatt(p, z)
    assert scores.shape == z.shape
    torch.testing.assert_close(
        scores.flatten(0, 1),
        rosenblatt(prior.base().condition({"a": "y"}), prior.flow(z.flatten(0, 1)).value),
    )
    torch.testing.assert_close(inverse_rosenblatt(p, scores), z)
    with pytest.raises(QueryError, match="not known exactly"):
        rosenblatt(p.observe(torch.zeros(1, 5), torch.tensor([True, False, True, False, True])), z[0, 0])


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("word", [Between(60.0, 61.0), Between(-math.inf, -60.0), Noisy(60.0, 0.1)])
def test_far_tails_in_single_precision(name, word):
    q = PRIORS[name]()().condition({"z0": word})
    z = latents(q.sample((50,), seed=1))
    scores = rosenblatt(q, z)
    assert scores.dtype == torch.float32
    assert bool(scores.isfinite().all())
    assert scores.abs().max() < 7
    torch.testing.assert_close(inverse_rosenblatt(q, scores), z, rtol=1e-4, atol=1e-3)


def test_outside_an_interval_scores_are_infinite():
    p = made("train")().condition({"z0": Between(-1.0, 1.0)})
    scores = rosenblatt(p, torch.tensor([[-1.5, 0.0, 0.0], [1.5, 0.0, 0.0]]))
    assert scores[:, 0].tolist() == [-math.inf, math.inf]


def test_what_cannot_be_transformed():
    p = made("train")()
    with pytest.raises(QueryError, match="a continuous site to transform"):
        rosenblatt(p.marginal(["a", "b"]), torch.zeros(0))
    for transform in (rosenblatt, inverse_rosenblatt):
        with pytest.raises(QueryError, match=r"not known exactly, received \['z1'\]"):
            transform(p.condition({"z1": 0.3}), torch.zeros(3))
        with pytest.raises(ShapeError, match=r"\(\.\.\., 3\)"):
            transform(p, torch.zeros(5))
        with pytest.raises(ShapeError, match="finite numbers"):
            transform(p, torch.tensor([0.0, math.nan, 0.0]))
    assert rosenblatt(p.condition({"z1": 0.3}).marginal(["z0", "z2"]), torch.zeros(2)).shape == (2,)
    dead = made("mixture")
    with torch.no_grad():
        for logits in dead.label_logits.values():
            logits[..., 0] = -math.inf
    with pytest.raises(ImpossibleEvidenceError):
        rosenblatt(dead().condition({"b": "0"}), torch.zeros(3))
