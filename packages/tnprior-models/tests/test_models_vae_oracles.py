"""The VAE against exact answers: closed-form evidence, quadrature, brute-force Bayes, a set it must learn."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal

from tnprior_core import Categorical, StandardNormalPrior, TensorTrainPrior
from tnprior_core import Gaussian as Latent
from tnprior_models import VAE, Bernoulli, ConvDecoder, ConvEncoder, Polish, importance_bound, refit_prior

PIXELS, SIGMA = 6, 0.4


class LinearEncoder(nn.Module):
    """q(z|x) with a linear mean and a constant width, deliberately not the exact posterior."""

    def __init__(self, matrix, log_sigma):
        super().__init__()
        self.register_buffer("matrix", matrix)
        self.register_buffer("log_sigma", log_sigma)

    def forward(self, x):
        mu = x.flatten(1) @ self.matrix
        return mu, self.log_sigma.expand_as(mu)


class LinearDecoder(nn.Module):
    """decoded = W z."""

    def __init__(self, matrix):
        super().__init__()
        self.register_buffer("matrix", matrix)

    def forward(self, z):
        return (z @ self.matrix).view(-1, 1, 1, PIXELS)


class PlainNormal(nn.Module):
    """A user's own likelihood: normal noise of known size around the decoded vector."""

    def log_prob(self, decoded, x):
        return torch.distributions.Normal(decoded, SIGMA).log_prob(x).flatten(1).sum(dim=1)

    def mean(self, decoded):
        return decoded


def linear_gaussian(prior, d):
    g = torch.Generator().manual_seed(3)
    matrix = torch.randn(d, PIXELS, generator=g, dtype=torch.float64)
    precision = torch.eye(d, dtype=torch.float64) + matrix @ matrix.T / SIGMA**2
    exact = torch.linalg.solve(precision, matrix / SIGMA**2).T
    width = 0.5 * (1.8 / precision.diagonal()).log()
    encoder = LinearEncoder(0.95 * exact, width)
    return VAE(encoder, LinearDecoder(matrix), prior, PlainNormal()).double(), matrix


def images(rows, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 1, 1, PIXELS, generator=g, dtype=torch.float64)


def test_importance_bounds_rise_to_the_closed_form_evidence():
    d = 2
    vae, matrix = linear_gaussian(StandardNormalPrior([Latent(f"z{i}") for i in range(d)]), d)
    x = images(5)
    covariance = matrix.T @ matrix + SIGMA**2 * torch.eye(PIXELS, dtype=torch.float64)
    exact = MultivariateNormal(torch.zeros(PIXELS, dtype=torch.float64), covariance).log_prob(x.flatten(1))
    empty = torch.zeros(5, 0, dtype=torch.int64)
    torch.manual_seed(0)
    weights = vae.log_weights(x, empty, empty.bool(), 20_000)
    bounds = [
        importance_bound(weights.unflatten(0, (-1, k)).transpose(0, 1).flatten(1))
        .unflatten(0, (-1, 5))
        .mean(0)
        for k in (1, 4, 16)
    ]
    for lower, higher in itertools.pairwise([*bounds, exact]):
        assert (lower < higher).all()
    torch.testing.assert_close(importance_bound(weights), exact, rtol=0, atol=0.03)


def toy_prior():
    sites = [Categorical("a", ("0", "1", "2")), Latent("z", components=3), Categorical("b", ("0", "1"))]
    prior = TensorTrainPrior(sites, rank=3, seed=2).double()
    g = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter += 0.8 * torch.randn(parameter.shape, generator=g, dtype=torch.float64)
    return prior


GRID = torch.linspace(-9, 9, 6001, dtype=torch.float64)


def density_table(prior):
    """p(z, a, b) on the grid, by asking for one fully observed point at a time: (grid, 3, 2)."""
    p = prior()
    columns = [
        p.log_prob(torch.stack([torch.full_like(GRID, a), GRID, torch.full_like(GRID, b)], dim=1)).exp()
        for a in range(3)
        for b in range(2)
    ]
    return torch.stack(columns, dim=1).view(-1, 3, 2).detach()


CASES = [((0, 0), (False, False)), ((2, 0), (True, False)), ((0, 1), (False, True)), ((1, 0), (True, True))]


def selected(table, codes, observed):
    for axis, (code, known) in enumerate(zip(codes, observed, strict=True)):
        table = table.narrow(1 + axis, code, 1) if known else table
    return table


@pytest.mark.parametrize(("codes", "observed"), CASES, ids=str)
def test_evidence_of_image_and_observed_attributes_by_quadrature(codes, observed):
    prior = toy_prior()
    vae, matrix = linear_gaussian(prior, 1)
    x = images(3)
    table = selected(density_table(prior), codes, observed).sum(dim=(1, 2))
    step = (GRID[1] - GRID[0]).item()
    for row in range(3):
        decoded = (GRID[:, None] @ matrix).view(-1, 1, 1, PIXELS)
        likelihood = PlainNormal().log_prob(decoded, x[row].expand_as(decoded)).exp()
        exact = math.log((likelihood * table).sum().item() * step)
        torch.manual_seed(1)
        weights = vae.log_weights(x[row : row + 1], torch.tensor([codes]), torch.tensor([observed]), 20_000)
        assert importance_bound(weights).item() == pytest.approx(exact, abs=0.03)


def bayes(vae, prior, x, codes, observed):
    """p(a, b | x, y_ob) = integral of q(z|x) p(y_ob|z) p(a, b|z, y_ob), normalised: (3, 2) by quadrature."""
    q = vae.encode(x).log_prob(GRID.view(-1, 1, 1)).exp().view(-1, 1, 1).detach()
    table = density_table(prior)
    given_z = table / table.sum(dim=(1, 2), keepdim=True)
    mask = torch.ones(3, 2, dtype=torch.float64)
    for axis, (code, known) in enumerate(zip(codes, observed, strict=True)):
        if known:
            keep = torch.arange(mask.shape[axis]) == code
            mask = mask * keep.view(-1, 1) if axis == 0 else mask * keep
    joint = (q * given_z * mask).sum(dim=0)
    return joint / joint.sum()


@pytest.mark.parametrize(("codes", "observed"), CASES, ids=str)
def test_imputation_is_bayes_rule(codes, observed):
    prior = toy_prior()
    vae, _ = linear_gaussian(prior, 1)
    vae.encoder.log_sigma.fill_(0.2)
    x = images(1, seed=4)
    joint = bayes(vae, prior, x, codes, observed)
    table = torch.tensor([codes]), torch.tensor([observed])
    a, b = vae.impute(x, *table, points=4096)
    torch.testing.assert_close(a[0], joint.sum(dim=1), rtol=0, atol=2e-3)
    torch.testing.assert_close(b[0], joint.sum(dim=0), rtol=0, atol=2e-3)


@pytest.mark.parametrize(("codes", "observed"), CASES, ids=str)
def test_joint_draws_have_the_joint_frequencies(codes, observed):
    prior = toy_prior()
    vae, _ = linear_gaussian(prior, 1)
    vae.encoder.log_sigma.fill_(0.2)
    x = images(1, seed=4)
    joint = bayes(vae, prior, x, codes, observed)
    rows = 2000
    table = torch.tensor([codes]).expand(rows, 2), torch.tensor([observed]).expand(rows, 2)
    drawn = vae.draws(x.expand(rows, 1, 1, PIXELS), *table, 4, points=256).flatten(0, 1)
    frequency = torch.bincount(drawn[:, 0] * 2 + drawn[:, 1], minlength=6).view(3, 2) / (4 * rows)
    error = 4 * (joint * (1 - joint) / (4 * rows)).sqrt() + 2e-3
    assert ((frequency - joint).abs() <= error).all()


def test_a_small_labelled_set_is_learned_in_seconds():
    torch.manual_seed(0)
    patterns = torch.rand(3, 1, 8, 8).bernoulli()
    codes = torch.arange(48).remainder(3)[:, None]
    flips = torch.rand(48, 1, 8, 8) < 0.08
    x = (patterns[codes[:, 0]] - flips.float()).abs()
    observed = (torch.arange(48) % 4 > 0)[:, None]
    sites = [*(Latent(f"z{i}", components=4) for i in range(3)), Categorical("kind", ("a", "b", "c"))]
    vae = VAE(
        ConvEncoder((1, 8, 8), 3, width=8, hidden=32),
        ConvDecoder((1, 8, 8), 3, width=8, hidden=32),
        TensorTrainPrior(sites, rank=4),
        Bernoulli(),
        attribute_weight=5.0,
        learning_rate=3e-3,
        prior_learning_rate=3e-2,
    )
    (objective,) = vae.objectives()
    optimizer = objective.build_optimizer()
    for step in range(90):
        if step == 30:
            for parameter in refit_prior(vae, x, codes, observed, polish=Polish(steps=30)):
                optimizer.state.pop(parameter, None)
        optimizer.zero_grad()
        objective.loss((x, codes, observed))["loss"].backward()
        optimizer.step()
    (probabilities,) = vae.impute(x, codes, torch.zeros_like(observed))
    accuracy = (probabilities.argmax(dim=1) == codes[:, 0]).float().mean().item()
    assert accuracy > 0.95
