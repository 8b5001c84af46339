"""Losses of the games, their penalty and the score function: closed forms, enumeration."""

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tnprior_models import ModelError
from tnprior_models.losses import (
    channel_norms,
    classifying_loss,
    gradient_penalty,
    leave_one_out,
    minmax_cost,
    nonsaturating_cost,
    score_function,
    wasserstein_cost,
    wasserstein_loss,
    zero_centred_penalty,
)

SCORES = st.lists(st.floats(-30, 30), min_size=1, max_size=6).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)


@given(real=SCORES, fake=SCORES)
def test_classifying_losses_are_the_printed_logarithms(real, fake):
    log_d, log_not = nn.functional.logsigmoid, lambda s: nn.functional.logsigmoid(-s)
    expected = -(log_d(real).mean() + log_not(fake).mean())
    torch.testing.assert_close(classifying_loss(real, fake), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(minmax_cost(fake), log_not(fake), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(nonsaturating_cost(fake), -log_d(fake), rtol=1e-12, atol=1e-12)


def test_the_best_critic_of_the_classifying_game_is_the_log_ratio():
    # Densities 0.8, 0.2 of the real and 0.4, 0.6 of the fake objects on two points.
    scores = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    real, fake = scores[[0, 0, 0, 0, 1]], scores[[0, 0, 1, 1, 1]]
    optimum = torch.tensor([2.0, 1 / 3], dtype=torch.float64).log()
    loss = classifying_loss(real, fake)
    loss.backward()
    assert scores.grad.abs().max() > 0.05
    scores.grad = None
    with torch.no_grad():
        scores.copy_(optimum)
    classifying_loss(scores[[0, 0, 0, 0, 1]], scores[[0, 0, 1, 1, 1]]).backward()
    torch.testing.assert_close(scores.grad, torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-12)


def test_wasserstein_losses_are_differences_of_means():
    real, fake = torch.tensor([1.0, 5.0]), torch.tensor([2.0, 0.0])
    assert wasserstein_loss(real, fake).item() == -2.0
    assert wasserstein_cost(fake).tolist() == [-2.0, 0.0]


@pytest.mark.parametrize("shape", [(2,), (1, 4, 4), (3, 5, 4)], ids=str)
def test_the_penalty_of_a_linear_critic_is_exact(shape):
    torch.manual_seed(0)
    weight = torch.randn(*shape, dtype=torch.float64, requires_grad=True)
    real, fake = torch.rand(2, 6, *shape, dtype=torch.float64)
    penalty = gradient_penalty(lambda x: (x * weight).flatten(1).sum(1), real, fake, slope=2.0)
    norm = weight.detach().norm()
    assert penalty.item() == pytest.approx((norm.item() / 2 - 1) ** 2, abs=1e-12)
    penalty.backward()
    expected = 2 * (norm / 2 - 1) / 2 * weight.detach() / norm
    torch.testing.assert_close(weight.grad, expected, rtol=1e-10, atol=1e-12)


def test_the_published_penalty_takes_every_pixel_apart():
    weight = torch.tensor([[[3.0, 0.0]], [[4.0, 1.0]]])  # two channels, pixels with norms 5 and 1
    found = gradient_penalty(
        lambda x: (x * weight).flatten(1).sum(1),
        torch.zeros(3, 2, 1, 2),
        torch.ones(3, 2, 1, 2),
        norms=channel_norms,
    )
    assert found.item() == pytest.approx((4**2 + 0**2) / 2)


def test_the_penalty_is_taken_between_real_and_fake():
    # f(x) = x^3 / 3 has slope u^2 at u uniform on [0, 1]: E (u^2 - 1)^2 = 8/15.
    torch.manual_seed(0)
    n = 20000
    found = gradient_penalty(lambda x: x[:, 0] ** 3 / 3, torch.ones(n, 1), torch.zeros(n, 1))
    assert found.item() == pytest.approx(8 / 15, abs=0.01)


def test_the_penalty_needs_no_gradients_around_it_and_survives_a_flat_critic():
    weight = torch.zeros(2, requires_grad=True)
    with torch.no_grad():
        penalty = gradient_penalty(lambda x: x @ weight, torch.rand(3, 2), torch.rand(3, 2))
    assert penalty.item() == 1.0
    penalty.backward()
    assert torch.isfinite(weight.grad).all()


def test_the_penalty_refuses_objects_of_different_number():
    with pytest.raises(ModelError, match="as many fakes as real objects"):
        gradient_penalty(lambda x: x[:, 0], torch.zeros(3, 2), torch.zeros(4, 2))


@pytest.mark.parametrize("shape", [(2,), (3, 5, 4)], ids=str)
def test_the_zero_centred_penalty_of_a_quadratic_critic_is_exact(shape):
    # f(x) = sum w x^2 / 2 has gradient w x: the penalty is mean |w x|^2, its own gradient 2 mean w x^2.
    torch.manual_seed(0)
    weight = torch.randn(*shape, dtype=torch.float64, requires_grad=True)
    real = torch.rand(6, *shape, dtype=torch.float64)
    with torch.no_grad():
        penalty = zero_centred_penalty(lambda x: (x * x * weight / 2).flatten(1).sum(1), real)
    expected = (weight.detach() * real).square().sum() / 6
    assert penalty.item() == pytest.approx(expected.item(), abs=1e-12)
    penalty.backward()
    torch.testing.assert_close(weight.grad, 2 * (weight.detach() * real.square()).sum(0) / 6)


@pytest.mark.parametrize("draws", [1, 2, 3])
def test_the_score_function_is_unbiased_by_enumeration(draws):
    logits = torch.tensor([0.3, -0.5, 1.1], dtype=torch.float64, requires_grad=True)
    cost = torch.tensor([2.0, -1.0, 0.7], dtype=torch.float64)
    (exact,) = torch.autograd.grad((logits.softmax(0) * cost).sum(), logits)
    found, with_itself = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    for drawn in product(range(3), repeat=draws):
        index = torch.tensor(drawn)
        log_p = logits.log_softmax(0)[index]
        probability = log_p.sum().exp().detach()
        (g,) = torch.autograd.grad(score_function(log_p, cost[index]), logits)
        found += probability * g
        log_p = logits.log_softmax(0)[index]
        (g,) = torch.autograd.grad(((cost[index] - cost[index].mean()) * log_p).mean(), logits)
        with_itself += probability * g
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-14)
    # the published baseline shrinks the gradient by (n - 1) / n
    torch.testing.assert_close(with_itself, exact * (draws - 1) / draws, rtol=0, atol=1e-14)


def test_the_baseline_of_a_sample_does_not_contain_it():
    cost = torch.tensor([1.0, 4.0, 10.0])
    assert leave_one_out(cost).tolist() == pytest.approx([-6.0, -1.5, 7.5])
    assert leave_one_out(cost[:1]).tolist() == [1.0]


def test_the_score_function_keeps_the_gradient_of_the_costs():
    scale = torch.tensor(2.0, requires_grad=True)
    loss = score_function(torch.zeros(4), scale * torch.arange(4.0))
    loss.backward()
    assert loss.item() == 3.0
    assert scale.grad.item() == 1.5
