"""Likelihood bounds against the exact likelihood of a linear Gaussian model and against direct formulas."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal

from tnprior_eval import ContinuousPixels, DiscretePixels, LikelihoodBound, ShapeError, importance_bounds


def linear_gaussian(seed, spread):
    """x = z + noise, both standard normal; q(z|x) = N(x/2, spread), exact for spread^2 = 1/2."""
    generator = torch.Generator().manual_seed(seed)
    x = math.sqrt(2) * torch.randn(200, generator=generator, dtype=torch.float64)

    def draw(count):
        z = x / 2 + spread * torch.randn(count, 200, generator=generator, dtype=torch.float64)
        joint = Normal(0.0, 1.0).log_prob(z) + Normal(z, 1.0).log_prob(x)
        return joint - Normal(x / 2, torch.tensor(spread, dtype=torch.float64)).log_prob(z)

    return draw, Normal(0.0, torch.tensor(2.0, dtype=torch.float64).sqrt()).log_prob(x)


def test_the_exact_posterior_gives_the_exact_likelihood():
    draw, truth = linear_gaussian(0, math.sqrt(0.5))
    bounds = importance_bounds(draw, 7, chunk=3)
    torch.testing.assert_close(bounds.elbo, truth, atol=1e-12, rtol=0)
    torch.testing.assert_close(bounds.iwae, truth, atol=1e-12, rtol=0)
    torch.testing.assert_close(bounds.effective, torch.full_like(truth, 7.0))


def test_more_samples_tighten_the_bound():
    values = []
    for k in (1, 10, 1000):
        draw, truth = linear_gaussian(1, 1.0)
        metric = LikelihoodBound(k)
        metric.update(draw)
        result = metric.compute()
        values.append(result.iwae.value)
        if k == 1000:
            # KL(N(x/2, 1) || N(x/2, 1/2)) = (log(1/2) + 2 - 1) / 2
            gap = float(truth.mean()) - result.elbo.value
            assert gap == pytest.approx((1 - math.log(2)) / 2, abs=0.01)
            assert result.iwae.value == pytest.approx(float(truth.mean()), abs=0.005)
            assert 100 < result.effective_samples.value < 1000
    assert values[0] < values[1] < values[2]


@settings(max_examples=30)
@given(k=st.integers(1, 30), chunk=st.integers(1, 40), n=st.integers(1, 5), seed=st.integers(0, 1000))
def test_chunks_and_batches_do_not_matter(k, chunk, n, seed):
    w = 30 * torch.randn(k, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    bounds = importance_bounds(w, k, chunk=chunk)
    torch.testing.assert_close(bounds.elbo, w.mean(dim=0))
    torch.testing.assert_close(bounds.iwae, w.logsumexp(dim=0) - math.log(k))
    weights = w.softmax(dim=0)
    torch.testing.assert_close(bounds.effective, 1 / weights.square().sum(dim=0))
    whole, parts, other = LikelihoodBound(k), LikelihoodBound(k), LikelihoodBound(k)
    whole.update(w)
    for turn, column in enumerate(w.flip(1).split(1, dim=1)):
        (parts if turn % 2 else other).update(column)
    parts.merge(other)
    assert parts.compute().iwae.value == pytest.approx(whole.compute().iwae.value, rel=1e-12)
    if n > 1:
        error = whole.compute().elbo.standard_error
        assert parts.compute().elbo.standard_error == pytest.approx(error, rel=1e-9)


def test_never_more_rows_than_a_chunk():
    asked = []

    def draw(count):
        asked.append(count)
        return torch.zeros(count, 2)

    importance_bounds(draw, 100, chunk=16)
    assert asked == [16] * 6 + [4]


def test_large_weights_neither_overflow_nor_lose_digits():
    bounds = importance_bounds(torch.tensor([[-3000.0, 5000.0], [-3001.0, 5001.0]]), 2, chunk=1)
    rest = math.log1p(math.exp(-1)) - math.log(2)
    assert bounds.iwae.tolist() == pytest.approx([-3000 + rest, 5001 + rest], abs=1e-9)


def test_impossible_samples_count_as_zero_and_impossible_data_as_minus_infinity():
    impossible = -math.inf
    bounds = importance_bounds(torch.tensor([[impossible, impossible], [0.0, impossible]]), 2)
    assert bounds.iwae.tolist() == pytest.approx([-math.log(2), impossible])
    assert bounds.elbo.tolist() == [impossible, impossible]
    assert bounds.effective.tolist() == pytest.approx([1.0, 0.0])


def test_bits_per_dimension():
    uniform = torch.full((1, 3), -784 * math.log(256.0))
    assert DiscretePixels(784).bits_per_dimension(uniform).tolist() == [pytest.approx([8.0] * 3)]
    assert ContinuousPixels(784).bits_per_dimension(torch.zeros(1)).item() == 8.0
    metric = LikelihoodBound(1, pixels=ContinuousPixels(784))
    metric.update(torch.tensor([[784 * math.log(2.0), -784 * math.log(2.0)]], dtype=torch.float64))
    result = metric.compute()
    assert result.elbo_bits.value == pytest.approx(8.0)
    assert result.elbo_bits.standard_error == pytest.approx(result.elbo.standard_error / (784 * math.log(2)))
    assert "log 256" in result.protocol.settings["bits"]
    assert result.rows()[2].estimate.unit == "bits/dim"


def test_uniform_dequantisation_links_the_two_conventions():
    levels = torch.tensor([0.25, 0.5, 0.125, 0.125], dtype=torch.float64)  # probabilities of four grey levels
    density = levels * 4  # piecewise constant density on [0, 1]
    discrete = DiscretePixels(1).bits_per_dimension(levels.log())
    torch.testing.assert_close(ContinuousPixels(1, levels=4).bits_per_dimension(density.log()), discrete)


def test_diverged_and_misshapen_weights_are_refused():
    with pytest.raises(ShapeError, match="NaN or \\+inf; the model has diverged"):
        importance_bounds(torch.tensor([[math.nan]]), 1)
    with pytest.raises(ShapeError, match=r"shape \(3, B\), received \(2, 4\)"):
        importance_bounds(torch.zeros(2, 4), 3)
    with pytest.raises(ShapeError, match=r"shape \(2, B\), received \(1, 4\)"):
        importance_bounds(lambda count: torch.zeros(1, 4), 2)
    with pytest.raises(ShapeError, match="at least one sample"):
        importance_bounds(torch.zeros(0, 4), 0)
    with pytest.raises(ShapeError, match="at least one update"):
        LikelihoodBound(2).compute()
    with pytest.raises(ShapeError, match="k=2"):
        LikelihoodBound(2).merge(LikelihoodBound(3))
