"""Every kind of evidence and its composition against quadrature and enumeration, in float64 to 1e-9."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from tnprior_core import (
    Between,
    Categorical,
    Gaussian,
    GaussianMixturePrior,
    ImpossibleEvidenceError,
    Likelihood,
    Noisy,
    Not,
    OneOf,
)

TOLERANCE = 1e-9
INF = float("inf")
KINDS, COUNTS, RANKS = "cdcd", [3, 3, 2, 2], [2, 3, 2, 3, 2]
LABELS = ("a", "b", "c")
NODES, WEIGHTS = np.polynomial.legendre.leggauss(40)


def mixture():
    sites = [Gaussian("v0"), Categorical("v1", LABELS), Gaussian("v2"), Categorical("v3", ("a", "b"))]
    prior = GaussianMixturePrior(sites, 3, seed=1).double()
    with torch.no_grad():
        return prior()


@pytest.fixture(params=["train", "ring", "mixture"], scope="module")
def p(request, network):
    if request.param == "mixture":
        return mixture()
    return network(KINDS, COUNTS, RANKS, closed=request.param == "ring", order=[2, 0, 3, 1], seed=4)


def integral(oracle, site, likelihood, ends, *, peaks=()):
    """p(evidence | component) by Gauss-Legendre quadrature over the value, on many short panels."""
    found = []
    for mean, sigma in zip(*oracle.components(site), strict=True):
        low, high = max(ends[0], mean - 40 * sigma), min(ends[1], mean + 40 * sigma)
        inside = [x for x in (*peaks, *(mean + sigma * np.arange(-9, 10))) if low < x < high]
        edges = np.unique([low, *inside, max(low, high)])
        half, middle = np.diff(edges)[:, None] / 2, (edges[1:] + edges[:-1])[:, None] / 2
        z = middle + half * NODES
        found.append((half * WEIGHTS * likelihood(z) * norm.pdf(z, mean, sigma)).sum())
    return np.array(found)


def noisy(*measurements):
    return lambda z: np.prod([np.ones_like(z), *(norm.pdf(v, z, sigma) for v, sigma in measurements)], axis=0)


# name -> (words given one after the other to site v0, likelihood of the value, ends of the interval, where it peaks)
CONTINUOUS = {
    "interval": ([Between(-0.3, 1.2)], noisy(), (-0.3, 1.2), ()),
    "half-open": ([Between(0.4, INF)], noisy(), (0.4, INF), ()),
    "open to the left": ([Between(-INF, -1.0)], noisy(), (-INF, -1.0), ()),
    "noisy": ([Noisy(0.7, 0.4)], noisy((0.7, 0.4)), (-INF, INF), (0.7,)),
    "precise": ([Noisy(0.7, 0.01)], noisy((0.7, 0.01)), (-INF, INF), tuple(np.arange(0.5, 0.9, 0.01))),
    "two intervals": ([Between(-1.0, 1.0), Between(0.2, 3.0)], noisy(), (0.2, 1.0), ()),
    "two measurements": (
        [Noisy(0.7, 0.4), Noisy(-0.2, 0.9)],
        noisy((0.7, 0.4), (-0.2, 0.9)),
        (-INF, INF),
        (0.5,),
    ),
    "measured in an interval": (
        [Between(0.5, 2.0), Noisy(0.7, 0.4)],
        noisy((0.7, 0.4)),
        (0.5, 2.0),
        (0.7,),
    ),
    "interval of a measurement": (
        [Noisy(0.7, 0.4), Between(0.5, 2.0), Noisy(1.0, 1.5)],
        noisy((0.7, 0.4), (1.0, 1.5)),
        (0.5, 2.0),
        (0.7,),
    ),
}


def given(p, words, site="v0"):
    for word in words:
        p = p.condition({site: word})
    return p


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous(brute, p, name):
    words, likelihood, ends, peaks = CONTINUOUS[name]
    oracle = brute(p)
    row = integral(oracle, 0, likelihood, ends, peaks=peaks)
    q = given(p, words)
    assert abs(q.log_evidence.item() - oracle.log_evidence({0: row})) < TOLERANCE
    probs = labels_given(oracle, {0: row})
    np.testing.assert_allclose(q.marginal("v1").probs.cpu().numpy(), probs, rtol=0, atol=TOLERANCE)
    # The moments of the site itself, given what is known of it.
    first = integral(oracle, 0, lambda z: z * likelihood(z), ends, peaks=peaks)
    second = integral(oracle, 0, lambda z: z * z * likelihood(z), ends, peaks=peaks)
    total = oracle.joint({0: row}).sum()
    mean = oracle.joint({0: first}).sum() / total
    variance = oracle.joint({0: second}).sum() / total - mean**2
    torch.testing.assert_close(q.mean[0].item(), mean, rtol=0, atol=1e-8)
    torch.testing.assert_close(q.variance[0].item(), variance, rtol=0, atol=1e-8)
    marginal = q.marginal("v0")
    torch.testing.assert_close(marginal.mean.item(), mean, rtol=0, atol=1e-8)
    # Its density and distribution function.
    at = np.clip(0.6, *ends)
    share = float(oracle.joint({0: oracle.exact(0, at) * likelihood(at)}).sum() / total)
    torch.testing.assert_close(marginal.log_prob(torch.tensor(at)).exp().item(), share, rtol=0, atol=1e-8)
    below = integral(oracle, 0, likelihood, (ends[0], at), peaks=peaks)
    level = oracle.joint({0: below}).sum() / total
    torch.testing.assert_close(marginal.cdf(torch.tensor(at)).item(), level, rtol=0, atol=1e-8)


def labels_given(oracle, rows):
    """Probabilities of v1, label by label."""
    masses = [oracle.joint(rows | {1: oracle.exact(1, code)}).sum() for code in range(3)]
    return np.array(masses) / sum(masses)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_exact_after_soft_and_soft_after_exact(brute, p, name):
    words, likelihood, ends, _ = CONTINUOUS[name]
    oracle, value = brute(p), float(np.clip(0.6, *ends))
    row = oracle.exact(0, value) * likelihood(value)
    expected = oracle.log_evidence({0: row})
    assert abs(given(p, [*words, value]).log_evidence.item() - expected) < TOLERANCE
    assert abs(given(p, [value, *words]).log_evidence.item() - expected) < TOLERANCE
    outside = ends[1] + 1.0
    if outside < INF:
        assert given(p, [*words, outside]).log_evidence.item() == -INF


DISCRETE = {
    "label": (["b"], [0, 1, 0]),
    "set": ([OneOf("a", "c")], [1, 0, 1]),
    "negation": ([Not("a")], [0, 1, 1]),
    "two negations": ([Not("a"), Not("b")], [0, 0, 1]),
    "set and negation": ([OneOf("a", "b"), Not("a")], [0, 1, 0]),
    "likelihood": ([Likelihood([0.2, 0.0, 3.0])], [0.2, 0, 3.0]),
    "likelihood and set": ([Likelihood([0.2, 0.5, 3.0]), OneOf("a", "b")], [0.2, 0.5, 0]),
    "two likelihoods": ([Likelihood([0.2, 0.5, 3.0]), Likelihood([1.0, 2.0, 0.5])], [0.2, 1.0, 1.5]),
    "label after likelihood": ([Likelihood([0.2, 0.5, 3.0]), "b"], [0, 0.5, 0]),
    "likelihood after label": (["b", Likelihood([0.2, 0.5, 3.0])], [0, 0.5, 0]),
}


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete(brute, p, name):
    words, weights = DISCRETE[name]
    oracle = brute(p)
    row = oracle.row(1, lambda code: weights[code])
    q = given(p, words, "v1")
    assert abs(q.log_evidence.item() - oracle.log_evidence({1: row})) < TOLERANCE
    probs = np.array([oracle.joint({1: oracle.exact(1, code)}).sum() * weights[code] for code in range(3)])
    np.testing.assert_allclose(
        q.marginal("v1").probs.cpu().numpy(), probs / probs.sum(), rtol=0, atol=TOLERANCE
    )
    codes = q.sample((500,), seed=1)[:, 1].long().unique().tolist()
    assert all(weights[code] > 0 for code in codes)


def test_per_example_and_shared_evidence_in_one_call(brute, p):
    oracle = brute(p)
    measured = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    q = p.condition({"v0": Noisy(measured, 0.5), "v1": ["a", None, "c"], "v2": Between(-1.0, 1.0), "v3": "b"})
    assert q.batch_shape == (3,)
    between = integral(oracle, 2, noisy(), (-1.0, 1.0))
    for row, code in enumerate([0, None, 2]):
        seen = integral(
            oracle, 0, noisy((measured[row].item(), 0.5)), (-INF, INF), peaks=[measured[row].item()]
        )
        rows = {0: seen, 2: between, 3: oracle.exact(3, 1)}
        rows |= {} if code is None else {1: oracle.exact(1, code)}
        assert abs(q.log_evidence[row].item() - oracle.log_evidence(rows)) < TOLERANCE


@pytest.mark.parametrize(
    "word",
    [
        torch.tensor([0, 2, 1]),
        torch.tensor([0, 2, 1], dtype=torch.int32),
        ["a", "c", "b"],
        Likelihood(torch.eye(3)[[0, 2, 1]]),
    ],
    ids=["codes", "int32", "labels", "one-hot"],
)
def test_ways_to_say_the_same(p, word):
    expected = torch.stack([p.condition({"v1": label}).log_evidence for label in ("a", "c", "b")])
    torch.testing.assert_close(p.condition({"v1": word}).log_evidence, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("first", [0, 1], ids=["shared first", "per example first"])
def test_shared_and_per_example_evidence_of_one_site(p, first):
    low = torch.tensor([-1.0, 0.0, 0.5], dtype=torch.float64)
    weights = torch.tensor([[0.2, 0.5, 0.1], [1.0, 0.0, 0.3], [0.1, 0.1, 0.1]], dtype=torch.float64)
    pairs = {"v0": [Noisy(0.2, 0.5), Between(low, 2.0)], "v1": [Not("c"), Likelihood(weights)]}
    q, each = p, [p, p, p]
    for site, words in pairs.items():
        for word in words if first == 0 else words[::-1]:
            q = q.condition({site: word})
    for row in range(3):
        alone = {"v0": Between(low[row].item(), 2.0), "v1": Likelihood(weights[row])}
        each[row] = p.condition({"v0": Noisy(0.2, 0.5), "v1": Not("c")}).condition(alone)
    expected = torch.stack([one.log_evidence for one in each])
    torch.testing.assert_close(q.log_evidence, expected, rtol=0, atol=TOLERANCE)
    draws = q.sample((50,), seed=1)
    assert draws.shape == (50, 3, 4)
    assert bool(((draws[..., 0] >= low) & (draws[..., 0] <= 2)).all())
    assert bool((draws[..., 1] != 2).all())
    means = torch.stack([one.mean for one in each])
    torch.testing.assert_close(q.mean, means, rtol=0, atol=TOLERANCE)


def test_one_example_broadcasts_to_a_batch(p):
    one = p.condition({"v1": torch.tensor([2])})
    assert one.batch_shape == (1,)
    q = one.condition({"v3": torch.tensor([0, 1, 1])})
    expected = p.condition({"v1": "c"}).condition({"v3": torch.tensor([0, 1, 1])})
    torch.testing.assert_close(q.log_evidence, expected.log_evidence, rtol=0, atol=TOLERANCE)
    assert q.sample((2,)).shape == (2, 3, 4)


def test_contradictions_are_impossible_not_nan(p):
    q = p.condition({"v1": "a"}).condition({"v1": "b"})
    assert q.log_evidence.item() == -INF
    values = torch.zeros(2, 4, dtype=torch.float64)
    assert bool((q.log_prob(values) == -INF).all())
    for ask in (q.sample, q.marginals, q.component_posteriors, q.complete, lambda: q.mean, q.covariance):
        with pytest.raises(ImpossibleEvidenceError, match="expected evidence of positive probability"):
            ask()
    batch = p.condition({"v0": torch.tensor([0.1, 0.2])}).condition({"v0": torch.tensor([0.1, 0.3])})
    assert batch.log_evidence.isinf().tolist() == [False, True]
    with pytest.raises(ImpossibleEvidenceError, match=r"impossible for examples \[1\]"):
        batch.sample()
    apart = p.condition({"v0": Between(0.0, 1.0)}).condition({"v0": Between(2.0, 3.0)})
    assert apart.log_evidence.item() == -INF


def test_evidence_of_a_marginal_is_about_its_visible_sites(p):
    q = p.condition({"v3": "a"}).marginal(["v2", "v1"])
    assert [site.name for site in q.sites] == ["v2", "v1"]
    both = q.condition({"v1": "b"}).log_evidence
    expected = p.condition({"v3": "a", "v1": "b"}).log_evidence
    torch.testing.assert_close(both, expected, rtol=0, atol=TOLERANCE)
    assert q.sample((5,), seed=1).equal(p.condition({"v3": "a"}).sample((5,), seed=1)[:, [2, 1]])
