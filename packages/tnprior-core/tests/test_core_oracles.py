"""Other people's exact answers: hidden Markov models, the forward algorithm, dense Gaussian mixtures."""

import itertools

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from torch.distributions import Categorical as Choice
from torch.distributions import Independent, MixtureSameFamily, Normal

from tnprior_core import Categorical, Gaussian, GaussianMixturePrior, Legs, TensorRing, TensorTrain

LENGTH, STATES = 30, 4


@pytest.fixture(scope="module")
def chain():
    """Start, transitions, means and standard deviations of a hidden Markov model with normal emissions."""
    random = np.random.default_rng(0)
    start, move = random.dirichlet(np.ones(STATES)), random.dirichlet(np.ones(STATES), STATES)
    return start, move, random.normal(size=STATES) * 2, random.random(STATES) + 0.3


def train_of(chain):
    """A site per time step; the component of a site is the hidden state, the bond carries it on."""
    start, move, mean, sigma = (torch.as_tensor(x) for x in chain)
    sites = [Gaussian(f"x{t}", STATES) for t in range(LENGTH)]
    here = torch.eye(STATES, dtype=torch.float64)
    step = move.unsqueeze(0) * here.unsqueeze(1)  # Q[s][a, a'] = p(s | a) 1[a' = s]
    cores = [(start.diag()).unsqueeze(1)] + [step.contiguous()] * (LENGTH - 1)
    legs = Legs.of(sites, {site.name: (mean, sigma.log()) for site in sites})
    return TensorTrain(legs, cores)


def forward_algorithm(chain, x):
    start, move, mean, sigma = chain
    emission = -0.5 * ((x[:, None] - mean) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
    alpha = np.log(start) + emission[0]
    for t in range(1, len(x)):
        alpha = logsumexp(alpha[:, None] + np.log(move), axis=0) + emission[t]
    return logsumexp(alpha)


def test_a_hidden_markov_model_is_a_train(chain):
    x = np.random.default_rng(1).normal(size=(5, LENGTH)) * 3
    found = train_of(chain).log_prob(torch.as_tensor(x))
    expected = torch.tensor([forward_algorithm(chain, row) for row in x], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_hmmlearn_agrees(chain):
    hmm = pytest.importorskip("hmmlearn.hmm")
    start, move, mean, sigma = chain
    model = hmm.GaussianHMM(STATES, covariance_type="diag", init_params="")
    model.startprob_, model.transmat_, model.means_ = start, move, mean[:, None]
    model.covars_ = sigma[:, None] ** 2
    x = np.random.default_rng(2).normal(size=LENGTH) * 3
    p = train_of(chain)
    score, posterior = model.score_samples(x[:, None])
    assert abs(p.log_prob(torch.as_tensor(x)).item() - score) < 1e-9
    found = p.observe(torch.as_tensor(x)[None]).component_posteriors()
    found = torch.stack([found[f"x{t}"][0] for t in range(LENGTH)])
    np.testing.assert_allclose(found.cpu().numpy(), posterior, rtol=0, atol=1e-9)


def test_samples_of_a_markov_chain_repeat_its_transitions(chain):
    """Labels in place of densities: every pair of neighbours has the law of the chain."""
    start, move = chain[0], chain[1]
    train = train_of(chain)
    sites = [Categorical(f"s{t}", tuple("abcd")) for t in range(6)]
    p = TensorTrain(Legs.of(sites, {}), train.cores[:6])
    draws = p.sample((20_000,), seed=3).cpu().long().numpy()
    law = start
    for t in range(5):
        joint = law[:, None] * move
        seen = np.zeros((STATES, STATES))
        np.add.at(seen, (draws[:, t], draws[:, t + 1]), 1)
        deviation = np.sqrt(len(draws) * joint * (1 - joint))
        assert (np.abs(seen - len(draws) * joint) < 5 * deviation + 1).all()
        law = law @ move


def dense(p, latents):
    """The same distribution as a torch mixture with one component per tuple of states."""
    tuples = list(itertools.product(*(range(site.states) for site in latents)))
    weight = []
    for states in tuples:
        product = torch.eye(p.cores[0].shape[1], dtype=torch.float64)
        for core, s in zip(p.cores, states, strict=True):
            product = product @ core[s]
        weight.append(product.trace() if isinstance(p, TensorRing) else product.sum())
    pairs = [p.legs.where[k] for k in range(len(latents))]
    table = [[(*pairs[k], s) for k, s in enumerate(states)] for states in tuples]
    mean, log_sigma = (
        torch.stack([torch.stack([getattr(group, name)[at, s] for group, at, s in row]) for row in table])
        for name in ("mean", "log_sigma")
    )
    parts = Independent(Normal(mean, log_sigma.exp()), 1)
    return MixtureSameFamily(Choice(probs=torch.stack(weight)), parts)


@pytest.mark.parametrize("closed", [False, True])
def test_dense_mixture(network, closed):
    torch.set_default_dtype(torch.float64)
    try:
        p = network("ccc", [3, 2, 4], [2, 3, 2, 2], closed=closed, seed=5)
        q = dense(p, p.sites)
        z = torch.randn(50, 3) * 2
        torch.testing.assert_close(p.log_prob(z), q.log_prob(z), rtol=0, atol=1e-9)
        torch.testing.assert_close(p.mean, q.mean, rtol=0, atol=1e-9)
        torch.testing.assert_close(p.variance, q.variance, rtol=0, atol=1e-9)
        weight, mean = q.mixture_distribution.probs, q.component_distribution.mean
        centred = mean - q.mean
        covariance = (weight[:, None, None] * centred[:, :, None] * centred[:, None, :]).sum(0)
        covariance += (weight[:, None] * q.component_distribution.variance).sum(0).diag()
        torch.testing.assert_close(p.covariance(), covariance, rtol=0, atol=1e-9)
    finally:
        torch.set_default_dtype(torch.float32)


def test_gaussian_mixture_prior_is_torchs_mixture():
    prior = GaussianMixturePrior([Gaussian(f"z{k}") for k in range(4)], components=7, seed=3).double()
    with torch.no_grad():
        prior.logits.copy_(torch.randn(7))
        prior.log_sigma.copy_(torch.randn(4, 7) / 2)
        parts = Independent(Normal(prior.mean.mT, prior.log_sigma.mT.exp()), 1)
        expected = MixtureSameFamily(Choice(logits=prior.logits), parts)
        z = torch.randn(50, 4, dtype=torch.float64) * 3
        torch.testing.assert_close(prior().log_prob(z), expected.log_prob(z), rtol=0, atol=1e-9)
