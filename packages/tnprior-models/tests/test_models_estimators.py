"""Three gradients of an expected cost: unbiased against enumeration of components, and how noisy each is."""

from itertools import product

import pytest
import torch

from tnprior_core import (
    Categorical,
    FactorRingPrior,
    Gaussian,
    GaussianMixturePrior,
    TensorRingPrior,
    TensorTrainPrior,
)
from tnprior_models import ModelError
from tnprior_models.components import chosen_components, component_distribution
from tnprior_models.estimators import Pathwise, Reinforce, ReparametrizedMeans

PLAIN = [Gaussian("z0", 3), Gaussian("z1", 2)]
LABELLED = [Gaussian("z0", 3), Categorical("hat", ("no", "yes")), Gaussian("z1", 2)]
PRIORS = {
    "ring": lambda: TensorRingPrior(PLAIN, rank=2),
    "train, labels": lambda: TensorTrainPrior(LABELLED, rank=2, order=(2, 0, 1)),
    "ring, labels": lambda: TensorRingPrior(LABELLED, rank=2),
    "mixture, labels": lambda: GaussianMixturePrior(LABELLED, components=3),
    "factor ring, labels": lambda: FactorRingPrior(LABELLED, components=2, points=2),
}
ESTIMATORS = {"reinforce": Reinforce(), "means": ReparametrizedMeans(), "pathwise": Pathwise()}


def made(name):
    """A prior in double precision, away from its symmetric start."""
    prior = PRIORS[name]().double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return prior


def cost(values):
    z0, z1 = values[..., 0], values[..., -1]
    sign = 1 + values[..., 1] if values.shape[-1] == 3 else 1.0
    return 0.5 * z0**2 + sign * z0 - 0.7 * z0 * z1 + 0.3 * z1


def expected_cost(mean, sigma, code):
    """E[cost] for independent normals."""
    (m0, m1), s0, sign = (mean[..., 0], mean[..., -1]), sigma[..., 0], 1 + code
    return 0.5 * (m0**2 + s0**2) + sign * m0 - 0.7 * m0 * m1 + 0.3 * m1


def every_state(prior):
    """All (s, y), one row each; the states of a mixture's sites run over all of its components."""
    p = prior()
    states = [
        p.legs.where[k][0].states if isinstance(s, Gaussian) else s.states for k, s in enumerate(p.sites)
    ]
    return torch.tensor(list(product(*map(range, states))), dtype=torch.float64)


def exact_loss(prior):
    """sum_y stop(p(y)) sum_s p(s | y) E[cost | s, y], with a gradient."""
    p, rows = prior(), every_state(prior)
    log_p = component_distribution(p).log_prob(rows)
    mean, sigma = chosen_components(p.legs, rows.long())
    labelled = rows.shape[1] == 3
    code = rows[:, 1] if labelled else torch.zeros(len(rows), dtype=torch.float64)
    expected = expected_cost(mean, sigma, code)
    total = torch.zeros((), dtype=torch.float64)
    for y in code.unique():
        here = code == y
        share = log_p[here].exp()
        total = total + share.sum().detach() * (share / share.sum() * expected[here]).sum()
    return total


def gradient(loss, prior):
    parts = torch.autograd.grad(loss, tuple(prior.parameters()), allow_unused=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in parts])


@pytest.mark.parametrize("name", PRIORS)
def test_components_mix_to_the_density(name):
    prior = made(name)
    p, rows = prior(), every_state(prior)
    mean, sigma = chosen_components(p.legs, rows.long())
    log_p = component_distribution(p).log_prob(rows)
    assert log_p.logsumexp(0).item() == pytest.approx(0, abs=1e-12)
    values = p.sample((5,), seed=0)
    latents = torch.tensor([isinstance(site, Gaussian) for site in p.sites])
    density = torch.distributions.Normal(mean, sigma).log_prob(values.unsqueeze(1))
    agrees = (rows == values.unsqueeze(1)) | latents
    density = torch.where(latents, density, torch.where(agrees, 0.0, -torch.inf)).sum(-1)
    torch.testing.assert_close((log_p + density).logsumexp(1), p.log_prob(values), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", PRIORS)
def test_the_estimates_are_unbiased(name, estimator):
    prior, repeats = made(name), 30
    exact = gradient(exact_loss(prior), prior)
    torch.manual_seed(1)
    found = []
    for _ in range(repeats):
        estimated = ESTIMATORS[estimator](prior(), 150, cost)
        found.append(gradient(estimated.loss, prior))
    found = torch.stack(found)
    error = found.std(0) / repeats**0.5
    moves = error > 1e-9
    assert moves.any()
    assert ((found.mean(0) - exact)[moves].abs() / error[moves]).max() < 5
    torch.testing.assert_close(found.mean(0)[~moves], exact[~moves], rtol=0, atol=1e-8)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", PRIORS)
def test_the_loss_is_the_mean_cost_of_the_values(name, estimator):
    prior = made(name)
    estimated = ESTIMATORS[estimator](prior(), 7, cost)
    assert estimated.values.shape == (7, len(prior.sites))
    torch.testing.assert_close(estimated.cost, cost(estimated.values))
    assert estimated.loss.item() == pytest.approx(estimated.cost.mean().item(), abs=1e-12)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_labels_keep_their_frequencies(estimator):
    """In a chain of rank 1 a label's core is p(y) and nothing else: the cost leaves it, whatever it says of y."""
    prior = TensorTrainPrior(LABELLED, rank=1, seed=3).double()
    cores = prior.raw_cores["n2x1x1"]
    assert prior.core_groups["n2x1x1"] == (1, 2)
    evidence = prior().condition({"hat": "yes"}).log_evidence
    assert torch.autograd.grad(evidence, cores)[0][0].abs().min() > 0.1
    torch.manual_seed(0)
    loss = ESTIMATORS[estimator](prior(), 64, lambda values: (10 * values[:, 1] + 1) * values[:, 2]).loss
    label, latent = torch.autograd.grad(loss, cores)[0]
    torch.testing.assert_close(label, torch.zeros_like(label), rtol=0, atol=1e-12)
    assert latent.abs().min() > 0.1


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_generator_of_the_costs_learns_too(estimator):
    prior, scale = made("ring"), torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    estimated = ESTIMATORS[estimator](prior(), 9, lambda values: scale * cost(values))
    (found,) = torch.autograd.grad(estimated.loss, scale)
    assert found.item() == pytest.approx(cost(estimated.values).mean().item())


def test_paths_are_less_noisy_than_scores():
    prior = made("ring")
    spread = {}
    for name, estimator in ESTIMATORS.items():
        torch.manual_seed(0)
        found = torch.stack([gradient(estimator(prior(), 32, cost).loss, prior) for _ in range(20)])
        spread[name] = found.var(0).sum().item()
    assert spread["pathwise"] < spread["means"] < spread["reinforce"], spread


def test_distributions_without_what_is_needed_are_refused():
    p = made("ring, labels")()
    with pytest.raises(ModelError, match="the distribution of a prior"):
        component_distribution(p.condition({"hat": "yes"}))
    with pytest.raises(ModelError, match="received Normal"):
        component_distribution(torch.distributions.Normal(0.0, 1.0))
    categorical = torch.distributions.OneHotCategorical(torch.ones(2))
    with pytest.raises(ModelError, match="use Reinforce or ReparametrizedMeans"):
        Pathwise()(categorical, 3, lambda values: values.sum(-1))
