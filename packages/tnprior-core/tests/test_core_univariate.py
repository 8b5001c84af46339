"""Normals restricted to an interval, against scipy: moments, masses and draws, near the mean and far out."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm, truncnorm

from tnprior_core import NormalMixture

INF = float("inf")
ENDS = {
    "everything": (-INF, INF),
    "middle": (-0.5, 0.7),
    "left of the mean": (-3.0, -1.0),
    "right tail": (4.0, INF),
    "far right": (30.0, 31.0),
    "far left": (-INF, -30.0),
    "narrow": (0.2, 0.2001),
    "wide": (-100.0, 100.0),
}


def one(low, high, *, mean=0.3, sigma=1.7, dtype=torch.float64):
    mean, sigma, low, high = (torch.tensor(x, dtype=dtype) for x in (mean, sigma, low, high))
    return NormalMixture(torch.ones(1, dtype=dtype), mean[None], sigma[None], low, high)


@pytest.mark.parametrize("name", ENDS)
def test_one_normal(name):
    low, high = ENDS[name]
    p = one(low, high)
    a, b = (low - 0.3) / 1.7, (high - 0.3) / 1.7
    q = truncnorm(a, b, 0.3, 1.7)
    assert p.mean.item() == pytest.approx(q.mean(), rel=1e-9)
    middle = torch.as_tensor(q.ppf([0.01, 0.3, 0.5, 0.9]))
    np.testing.assert_allclose(p.cdf(middle).cpu().numpy(), [0.01, 0.3, 0.5, 0.9], atol=1e-8)
    np.testing.assert_allclose(p.log_prob(middle).cpu().numpy(), q.logpdf(middle.cpu().numpy()), atol=1e-8)
    assert bool(p.support.check(middle).all())
    if high < INF:
        assert p.log_prob(torch.tensor(high + 1.0)).item() == -INF
        assert p.cdf(torch.tensor(high + 1.0)).item() == pytest.approx(1)
        assert not p.support.check(torch.tensor(high + 1.0))


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws(name, dtype):
    low, high = ENDS[name]
    torch.manual_seed(0)
    draws = one(low, high, dtype=dtype).sample((5000,)).double().cpu().numpy()
    low, high = (float(torch.tensor(x, dtype=dtype)) for x in (low, high))
    assert draws.min() >= low
    assert draws.max() <= high
    q = truncnorm((low - 0.3) / 1.7, (high - 0.3) / 1.7, 0.3, 1.7)
    if not (name == "narrow" and dtype == torch.float32):  # eight floats lie in that interval
        assert kstest(draws, q.cdf).pvalue > 1e-4


def test_variance_far_out():
    """Variance of a tail is about one over the squared distance: all of its digits are cancellation."""
    p = one(40.0, INF, mean=0.0, sigma=1.0)
    grid = np.linspace(40, 42, 200_001)
    density = np.exp(norm.logpdf(grid) - norm.logpdf(40))
    mean = (grid * density).sum() / density.sum()
    variance = ((grid - mean) ** 2 * density).sum() / density.sum()
    assert p.variance.item() == pytest.approx(variance, rel=1e-3)


def test_mixture_of_truncated_normals():
    weight = torch.tensor([0.2, 0.8], dtype=torch.float64)
    mean, sigma = torch.tensor([-1.0, 2.0]).double(), torch.tensor([0.5, 1.0]).double()
    p = NormalMixture(weight, mean, sigma, torch.tensor(-1.5).double(), torch.tensor(1.0).double())
    parts = [
        truncnorm((-1.5 - m) / s, (1.0 - m) / s, m, s)
        for m, s in zip(mean.tolist(), sigma.tolist(), strict=True)
    ]
    z = np.linspace(-1.4, 0.9, 7)
    density = sum(w * q.pdf(z) for w, q in zip(weight.tolist(), parts, strict=True))
    np.testing.assert_allclose(p.log_prob(torch.as_tensor(z)).exp().cpu().numpy(), density, atol=1e-9)
    level = sum(w * q.cdf(z) for w, q in zip(weight.tolist(), parts, strict=True))
    np.testing.assert_allclose(p.cdf(torch.as_tensor(z)).cpu().numpy(), level, atol=1e-9)
    average = sum(w * q.mean() for w, q in zip(weight.tolist(), parts, strict=True))
    assert p.mean.item() == pytest.approx(average, rel=1e-9)
    second = sum(w * (q.var() + q.mean() ** 2) for w, q in zip(weight.tolist(), parts, strict=True))
    assert p.variance.item() == pytest.approx(second - average**2, rel=1e-8)


def test_batches_and_weights_of_zero():
    weight = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    mean = torch.tensor([0.0, 1e6]).expand(3, 2)
    low, high = torch.full((3,), -INF), torch.tensor([1.0, INF, INF])
    p = NormalMixture(weight, mean, torch.ones(3, 2), low, high)
    assert p.batch_shape == (3,)
    assert p.log_prob(torch.zeros(4, 3)).shape == (4, 3)
    assert p.sample((7,)).shape == (7, 3)
    assert bool(torch.isfinite(p.cdf(torch.zeros(3))).all())
    assert p.cdf(torch.ones(3)).tolist() == pytest.approx([1, 0.5 * norm.cdf(1), 0], abs=1e-6)
    assert p.log_prob(torch.zeros(3))[2].item() < -1e9
    assert "batch_shape" in repr(p)
