"""The start near N(0, I): close in density, exact in its first two moments, with noise to learn from."""

import pytest
import torch
from torch.distributions import Normal

from tnprior_core import (
    Categorical,
    Gaussian,
    SiteError,
    TensorRingPrior,
    TensorTrainPrior,
    initialize_near_normal,
    standard_mixture,
)

PRIORS = {"train": TensorTrainPrior, "ring": TensorRingPrior}
SITES = [Gaussian("z0", 10), Categorical("hat"), Gaussian("z1", 7), Gaussian("z2", 1)]


@pytest.mark.parametrize("components", [1, 2, 3, 5, 10, 40])
def test_the_mixture_has_the_moments_of_a_standard_normal(components):
    weight, mean, sigma = (x.double() for x in standard_mixture(components))
    assert weight.sum().item() == pytest.approx(1, abs=1e-6)
    assert (weight * mean).sum().item() == pytest.approx(0, abs=1e-6)
    assert (weight * (mean**2 + sigma**2)).sum().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("components", "nats"), [(1, 1e-12), (5, 3e-3), (10, 3e-3), (20, 3e-3)])
def test_the_mixture_is_close_to_a_standard_normal(components, nats):
    """Divergence by quadrature: the trapezoidal rule is exact to rounding for such smooth densities."""
    weight, mean, sigma = (x.double() for x in standard_mixture(components))
    z = torch.linspace(-9, 9, 4001, dtype=torch.float64)
    log_p = Normal(0.0, 1.0).log_prob(z)
    log_q = torch.logsumexp(weight.log() + Normal(mean, sigma).log_prob(z.unsqueeze(1)), 1)
    divergence = torch.trapezoid(log_p.exp() * (log_p - log_q), z).item()
    assert divergence == pytest.approx(0, abs=nats)


@pytest.mark.parametrize("kind", PRIORS)
def test_a_prior_starts_near_a_standard_normal(kind):
    prior = PRIORS[kind](SITES, rank=6, order=[2, 1, 0, 3])
    initialize_near_normal(prior, seed=3)
    p = prior()
    assert p.mean.abs().max() < 0.2
    assert (p.variance - 1).abs().max() < 0.2
    z = torch.randn(1000, 4, generator=torch.Generator().manual_seed(0))
    seen = torch.tensor([True, False, True, True]).expand(1000, 4)
    normal = Normal(0.0, 1.0).log_prob(z[:, seen[0]]).sum(1)
    assert abs((normal - p.log_prob(z, observed=seen)).mean()) < 0.05


def test_the_start_is_seeded_and_keeps_noise_to_learn_from():
    def started(seed):
        prior = TensorRingPrior(SITES, rank=4)
        initialize_near_normal(prior, seed=seed)
        return prior

    assert torch.equal(started(1).cores()[0], started(1).cores()[0])
    assert not torch.equal(started(1).cores()[0], started(2).cores()[0])
    covariance = started(1)().covariance(["z0", "z1"])
    assert covariance[0, 1].abs() > 1e-5


@pytest.mark.parametrize("kind", PRIORS)
def test_a_spread_makes_clusters_and_keeps_the_moments(kind):
    """Averaged over the bond indices mean and variance of every latent are those of N(0, I)."""
    sites = [Gaussian(f"z{k}", 10) for k in range(4)]
    prior = PRIORS[kind](sites, rank=5, order=[2, 0, 3, 1])
    initialize_near_normal(prior, seed=1, spread=0.7, leak=1e-6)
    p = prior()
    assert p.mean.abs().max() < 0.05
    assert (p.variance - 1).abs().max() < 0.1
    clusters = p.covariance() - torch.eye(4)
    # Five places at random: the latents are tied through the bond index alone.
    assert clusters.abs().max() > 0.1
    flat = PRIORS[kind](sites, rank=5)
    initialize_near_normal(flat, seed=1)
    assert (flat().covariance() - torch.eye(4)).abs().max() < 0.1


def test_a_spread_beyond_the_components_is_refused():
    prior = TensorRingPrior(SITES, rank=4)
    for settings in ({"spread": 0.95}, {"spread": -0.1}, {"leak": 0.0}):
        with pytest.raises(SiteError, match=r"expected spread of 0 to 0\.7"):
            initialize_near_normal(prior, **settings)
