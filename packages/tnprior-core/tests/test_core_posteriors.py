"""Posteriors, marginals, means and covariances: against differences of log_prob and against enumeration."""

import numpy as np
import pytest
import torch

from tnprior_core import (
    Between,
    Categorical,
    FactorRingPrior,
    Gaussian,
    GaussianMixturePrior,
    Likelihood,
    Noisy,
    TensorRingPrior,
    TensorTrainPrior,
)

TOLERANCE = 1e-9
SITES = [
    Gaussian("z0", 3),
    Categorical("a", ("x", "y", "z")),
    Gaussian("z1", 2),
    Categorical("b"),
    Gaussian("z2", 2),
]
PRIORS = {
    "train": lambda: TensorTrainPrior(SITES, rank=3, order=["b", "z2", "z0", "a", "z1"]),
    "ring": lambda: TensorRingPrior(SITES, rank=3),
    "mixture": lambda: GaussianMixturePrior(SITES, components=4),
    "factor ring": lambda: FactorRingPrior(SITES, components=3, points=2),
}


@pytest.fixture(params=PRIORS)
def p(request):
    prior = PRIORS[request.param]().double()
    with torch.no_grad():
        for seed, parameter in enumerate(prior.parameters()):
            parameter.add_(0.7 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
        return prior()


@pytest.fixture
def q(p):
    """Per-example evidence of three kinds, beside a shared measurement."""
    values = torch.tensor([[0.3, 0, -1.0, 1, 0], [0, 2, 0.5, 0, 0], [0, 0, 0, 0, 0]], dtype=torch.float64)
    known = torch.tensor([[1, 0, 0, 1, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0]]).bool()
    return p.observe(values, known).condition({"z2": Noisy(0.4, 0.8)})


@pytest.mark.parametrize("site", ["a", "b"])
def test_label_marginals_are_differences_of_log_prob(q, site):
    at = [each.name for each in SITES].index(site)
    mask = torch.zeros(5).bool()
    mask[at] = True
    columns = []
    for code in range(SITES[at].states):
        values = torch.full((3, 5), float(code), dtype=torch.float64)
        columns.append(q.log_prob(values, mask).exp())
    found = q.marginals()[site].probs
    torch.testing.assert_close(found, torch.stack(columns, 1), rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(q.marginal(site).probs, found)


@pytest.mark.parametrize("site", ["z0", "z1", "z2"])
def test_densities_are_differences_of_log_prob(q, site):
    at = [each.name for each in SITES].index(site)
    mask = torch.zeros(5).bool()
    mask[at] = True
    grid = torch.linspace(-4, 4, 41, dtype=torch.float64)
    values = torch.zeros(41, 3, 5, dtype=torch.float64)
    values[..., at] = grid[:, None]
    expected = q.log_prob(values, mask)
    found = q.marginal(site).log_prob(grid[:, None])
    open_rows = [row for row in range(3) if not bool(q.knowledge.exact.known[row, at])]
    torch.testing.assert_close(found[:, open_rows], expected[:, open_rows], rtol=0, atol=TOLERANCE)
    # Known exactly: all of the mass at one point.
    for row in set(range(3)) - set(open_rows):
        marginal, value = q.marginal(site), q.knowledge.exact.values[row, at]
        assert marginal.mean[row].item() == pytest.approx(value.item())
        assert marginal.variance[row].item() == pytest.approx(0, abs=1e-15)
        assert marginal.cdf(value)[row].item() == pytest.approx(1)
        assert marginal.cdf(value - 1e-6)[row] == 0
        assert marginal.log_prob(value)[row] == torch.inf
        assert marginal.log_prob(value + 1)[row] == -torch.inf
        assert (marginal.sample((10,))[:, row] == value).all()


def test_marginals_do_not_touch_gradients(q):
    for marginal in q.marginals().values():
        assert not marginal.sample().requires_grad
    prior = PRIORS["ring"]()
    values = torch.zeros(2, 5)
    p = prior()
    p.marginals()
    _ = p.mean, p.covariance(), p.complete(), p.sample()
    p.log_prob(values).sum().backward()
    asked = [parameter.grad.clone() for parameter in prior.parameters()]
    prior.zero_grad()
    prior().log_prob(values).sum().backward()
    for before, parameter in zip(asked, prior.parameters(), strict=True):
        torch.testing.assert_close(before, parameter.grad)


def component_rows(oracle, q, row):
    """What is known of one example of q, as evidence rows."""
    known, values = q.knowledge.exact.known[row], q.knowledge.exact.values[row]
    rows = {k: oracle.exact(k, values[k].item()) for k in range(5) if known[k]}
    mean, sigma = oracle.components(4)
    spread = np.sqrt(sigma**2 + 0.8**2)
    return rows | {4: np.exp(-0.5 * ((0.4 - mean) / spread) ** 2) / spread}


def moments_of_components(oracle, q, row, site):
    """Mean and variance of a site in each of its components, given what is known of the site itself."""
    mean, sigma = oracle.components(site)
    if bool(q.knowledge.exact.known[row, site]):
        return np.full_like(mean, q.knowledge.exact.values[row, site].item()), np.zeros_like(mean)
    if site == 4:
        gain = sigma**2 / (sigma**2 + 0.8**2)
        return mean + gain * (0.4 - mean), sigma**2 * (1 - gain)
    return mean, sigma**2


def test_moments_against_enumeration(brute, q):
    oracle, means, variances, covariance = brute(q), q.mean, q.variance, q.covariance()
    for row in range(3):
        rows = component_rows(oracle, q, row)
        parts = {k: moments_of_components(oracle, q, row, k) for k in (0, 2, 4)}
        single = {k: oracle.posterior(rows, k) for k in parts}
        mean = {k: (single[k] * parts[k][0]).sum() for k in parts}
        for i, j in enumerate(parts):
            assert abs(means[row, i].item() - mean[j]) < TOLERANCE
            for m, k in enumerate(parts):
                if j == k:
                    expected = (single[j] * (parts[j][1] + parts[j][0] ** 2)).sum() - mean[j] ** 2
                    assert abs(variances[row, i].item() - expected) < TOLERANCE
                else:
                    pair = oracle.posterior(rows, j, k)
                    pair = pair if j < k else pair.T
                    expected = parts[j][0] @ pair @ parts[k][0] - mean[j] * mean[k]
                assert abs(covariance[row, i, m].item() - expected) < TOLERANCE


def test_covariance_of_named_sites_and_intervals(p):
    q = p.condition({"z0": Between(-1.0, 0.5)})
    full = q.covariance()
    torch.testing.assert_close(q.covariance(["z2", "z0"]), full[[2, 0]][:, [2, 0]], rtol=0, atol=TOLERANCE)
    draws = q.sample((200_000,), seed=1)[:, [0, 2, 4]]
    deviation = draws.var(0).max().item() / len(draws) ** 0.5
    torch.testing.assert_close(draws.mT.cov(), full, rtol=0, atol=8 * deviation)
    assert torch.linalg.eigvalsh(full).min() > 0
    assert q.covariance([]).shape == (0, 0)


def test_components_that_cannot_be_have_no_share_in_the_covariance(network):
    """Cores with structural zeros: some components have probability zero and must not become NaN."""
    p = network("ccc", [3, 3, 2], [1, 1, 1, 1], closed=False)
    p.cores[0][1] = 0
    covariance = p.covariance()
    assert bool(torch.isfinite(covariance).all())
    torch.testing.assert_close(covariance, p.variance.diag(), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("kind", PRIORS)
def test_a_latent_whose_components_share_a_mean_goes_with_no_other(kind):
    """Nothing lies on either side of that mean: its two weights are zero everywhere, and zero is what they give."""
    with torch.no_grad():
        p = PRIORS[kind]().double()()
        for group in p.legs.groups:
            if 0 in group.sites:
                group.mean[group.sites.index(0)] = 0.5
    found = p.covariance()
    assert found[0, 1:].abs().max() < 1e-15
    assert torch.isfinite(found).all()
    assert (found.diagonal() > 0).all()


def test_empty_batches(p):
    q = p.observe(torch.zeros(0, 5))
    assert q.log_evidence.shape == q.log_prob(torch.zeros(5)).shape == (0,)
    assert q.log_prob(torch.zeros(7, 0, 5)).shape == (7, 0)
    assert q.sample((3,)).shape == (3, 0, 5)
    assert q.mean.shape == q.variance.shape == (0, 3)
    assert q.covariance().shape == (0, 3, 3)
    assert q.complete().codes.shape == (0, 2)
    assert q.complete().log_prob.shape == (0,)
    assert {name: tuple(x.shape) for name, x in q.component_posteriors().items()}["z0"][0] == 0
    assert q.marginal("a").probs.shape == (0, 3)
    assert q.marginal("z0").mean.shape == (0,)
    assert q.marginal("z0").sample((2,)).shape == (2, 0)
    soft = p.condition({"a": Likelihood(torch.ones(0, 3)), "z0": Noisy(torch.zeros(0), 1.0)})
    assert soft.sample((2,)).shape == (2, 0, 5)


def test_batch_of_one_is_a_batch(p):
    one = p.condition({"a": torch.tensor([1])})
    alone = p.condition({"a": "y"})
    assert one.batch_shape == (1,)
    assert alone.batch_shape == ()
    torch.testing.assert_close(one.mean, alone.mean[None], rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(one.covariance(), alone.covariance()[None], rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(one.marginal("b").probs, alone.marginal("b").probs[None])
    assert one.sample((2, 3)).shape == (2, 3, 1, 5)
    assert alone.sample((2, 3)).shape == (2, 3, 5)
    assert alone.sample().shape == (5,)
    values = torch.zeros(4, 3, 5, dtype=torch.float64)
    values[..., 1] = 1
    assert one.log_prob(values).shape == (4, 3)
    torch.testing.assert_close(one.log_prob(values), alone.log_prob(values), rtol=0, atol=TOLERANCE)


def test_values_broadcast_against_the_batch(q):
    values = torch.zeros(5, dtype=torch.float64)
    mask = torch.tensor([False, True, False, False, True])
    found = q.log_prob(values, mask)
    assert found.shape == (3,)
    many = q.log_prob(values.expand(2, 3, 5), mask)
    assert many.shape == (2, 3)
    torch.testing.assert_close(many, found.expand(2, 3), rtol=0, atol=TOLERANCE)
    rows = [q.log_prob(values.expand(3, 5), mask.expand(3, 5))[row] for row in range(3)]
    torch.testing.assert_close(found, torch.stack(rows), rtol=0, atol=TOLERANCE)
