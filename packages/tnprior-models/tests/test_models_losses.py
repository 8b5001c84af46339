"""The losses: hand-computed numbers, weights, and bounds that behave as bounds."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Independent, Normal

from tnprior_models.losses import importance_bound, joint_bound, split_bound


def standard_posterior(rows, size):
    return Independent(Normal(torch.zeros(rows, size), torch.ones(rows, size)), 1)


def test_joint_bound_adds_likelihood_prior_and_entropy():
    terms = joint_bound(standard_posterior(2, 3), torch.tensor([[-4.0, -6.0]]), torch.tensor([[-1.0, -3.0]]))
    entropy = 1.5 * (1 + math.log(2 * math.pi))
    assert terms["entropy"].item() == pytest.approx(entropy, rel=1e-6)
    assert terms["bound"].item() == pytest.approx(-5 - 2 + entropy, rel=1e-6)
    assert terms["loss"].item() == pytest.approx(-terms["bound"].item())
    assert "log_attributes" not in terms


@settings(max_examples=30)
@given(kl=st.floats(0, 3), attributes=st.floats(0, 50), seed=st.integers(0, 999))
def test_weights_multiply_their_own_terms_and_leave_the_bound_alone(kl, attributes, seed):
    generator = torch.Generator().manual_seed(seed)
    likelihood, joint, latent = -torch.rand(3, 2, 4, generator=generator, dtype=torch.float64)
    q = standard_posterior(4, 2)
    terms = joint_bound(q, likelihood, joint, log_latent=latent, kl_weight=kl, attribute_weight=attributes)
    entropy = q.entropy().mean().item()
    expected = (
        likelihood.mean().item()
        + kl * (latent.mean().item() + entropy)
        + attributes * (joint - latent).mean().item()
    )
    assert terms["loss"].item() == pytest.approx(-expected, rel=1e-6)
    assert terms["bound"].item() == pytest.approx(
        likelihood.mean().item() + joint.mean().item() + entropy, rel=1e-6
    )


def test_split_bound_is_equation_six():
    one = torch.ones(2, 3)
    terms = split_bound(-10 * one, -3 * one, -4 * one, -2 * one[0])
    assert terms["kl"].item() == pytest.approx(1)
    assert terms["bound"].item() == pytest.approx(-10 - 1 - 2)
    assert terms["loss"].item() == pytest.approx(13)


def test_importance_bound_is_the_log_of_the_mean_weight_per_row():
    weights = torch.tensor([[1.0, 2.0], [3.0, 2.0], [5.0, 2.0]])
    torch.testing.assert_close(importance_bound(weights.log()), torch.tensor([3.0, 2.0]).log())


def test_importance_bound_survives_weights_beyond_the_float_range():
    bound = importance_bound(torch.tensor([[-2000.0], [-2001.0]]))
    assert bound.item() == pytest.approx(-2000 + math.log((1 + math.exp(-1)) / 2), abs=1e-3)
