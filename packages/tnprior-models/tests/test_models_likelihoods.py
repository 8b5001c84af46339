"""Likelihoods against torch.distributions, at saturation, and as normalised laws."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tnprior_models import Bernoulli, Gaussian, ImageLikelihood, ImageShapeError, ModelError


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), scale=st.floats(0.1, 30))
def test_bernoulli_is_torchs_law_summed_over_pixels(seed, scale):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(3, 1, 2, 5, generator=generator, dtype=torch.float64)
    x = torch.rand(3, 1, 2, 5, generator=generator, dtype=torch.float64).round()
    expected = torch.distributions.Bernoulli(logits=logits).log_prob(x).sum(dim=(1, 2, 3))
    torch.testing.assert_close(Bernoulli().log_prob(logits, x), expected, rtol=1e-9, atol=1e-9)


def test_bernoulli_probabilities_of_all_binary_images_sum_to_one():
    logits = torch.randn(1, 1, 2, 3, dtype=torch.float64)
    images = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6)), dtype=torch.float64)
    log_probs = Bernoulli().log_prob(logits.expand(64, 1, 2, 3), images.view(64, 1, 2, 3))
    assert log_probs.logsumexp(dim=0).exp().item() == pytest.approx(1, abs=1e-12)


def test_bernoulli_of_a_grey_image_is_the_expectation_over_binarisations():
    logits = torch.randn(1, 1, 1, 3, dtype=torch.float64)
    grey = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64).view(1, 1, 1, 3)
    expected = 0.0
    for bits in itertools.product((0.0, 1.0), repeat=3):
        image = torch.tensor(bits, dtype=torch.float64).view(1, 1, 1, 3)
        weight = torch.where(image > 0, grey, 1 - grey).prod().item()
        expected += weight * Bernoulli().log_prob(logits, image).item()
    assert Bernoulli().log_prob(logits, grey).item() == pytest.approx(expected, abs=1e-12)


def test_bernoulli_stays_finite_with_saturated_logits():
    logits = torch.tensor([1e4, -1e4]).view(1, 1, 1, 2).requires_grad_()
    log_prob = Bernoulli().log_prob(logits, torch.tensor([0.0, 1.0]).view(1, 1, 1, 2))
    log_prob.sum().backward()
    assert log_prob.item() == pytest.approx(-2e4)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("channels", [0, 3])
def test_gaussian_is_torchs_law_around_the_squashed_image(channels):
    likelihood = Gaussian(channels=channels, log_sigma=-1.3).double()
    decoded, x = torch.randn(4, 3, 5, 6, dtype=torch.float64), torch.rand(4, 3, 5, 6, dtype=torch.float64)
    sigma = math.exp(-1.3)
    expected = torch.distributions.Normal(decoded.sigmoid(), sigma).log_prob(x).sum(dim=(1, 2, 3))
    torch.testing.assert_close(likelihood.log_prob(decoded, x), expected, rtol=1e-6, atol=1e-6)
    assert likelihood.log_sigma.shape == ((3, 1, 1) if channels else ())


def test_gaussian_learns_the_noise_level_of_the_data():
    torch.manual_seed(0)
    likelihood = Gaussian(channels=2, log_sigma=-1.0)
    decoded = torch.zeros(64, 2, 8, 8)
    truth = torch.tensor([0.03, 0.2]).view(1, 2, 1, 1)
    x = 0.5 + truth * torch.randn(64, 2, 8, 8)
    optimizer = torch.optim.Adam(likelihood.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        (-likelihood.log_prob(decoded, x).mean()).backward()
        optimizer.step()
    torch.testing.assert_close(likelihood.log_sigma.exp().view(1, 2, 1, 1), truth, rtol=0.05, atol=0)


def test_gaussian_noise_never_falls_below_its_floor_and_can_rise_again():
    likelihood = Gaussian(log_sigma=-2.0, floor=-5.5)
    with torch.no_grad():
        likelihood.raw_log_sigma.fill_(-10.0)
    assert likelihood.log_sigma.item() >= -5.5
    x = torch.full((1, 1, 2, 2), 0.9)
    (-likelihood.log_prob(torch.zeros(1, 1, 2, 2), x).sum()).backward()
    assert likelihood.raw_log_sigma.grad.item() < 0


def test_means_are_pictures_and_shapes_are_checked():
    for likelihood in (Bernoulli(), Gaussian()):
        assert isinstance(likelihood, ImageLikelihood)
        mean = likelihood.mean(torch.randn(2, 1, 3, 3) * 50)
        assert mean.min() >= 0
        assert mean.max() <= 1
        with pytest.raises(ImageShapeError, match="decoder's shape"):
            likelihood.log_prob(torch.zeros(2, 1, 3, 3), torch.zeros(1, 1, 3, 3))


def test_a_noise_level_at_the_floor_is_refused():
    with pytest.raises(ModelError, match="above its floor"):
        Gaussian(log_sigma=-6.0)
