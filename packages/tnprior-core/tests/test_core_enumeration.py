"""Trains, rings and mixtures of every small shape against brute force over all states, in float64 to 1e-9."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tnprior_core import Categorical, FactorRingPrior, Gaussian, GaussianMixturePrior

TOLERANCE = 1e-9
MANY = settings(max_examples=40, derandomize=True)


@st.composite
def shapes(draw, smallest=1, largest=4):
    count = draw(st.integers(smallest, largest))
    each = st.integers(1, 3)
    return {
        "kinds": draw(st.text("cd", min_size=count, max_size=count)),
        "counts": draw(st.lists(each, min_size=count, max_size=count)),
        "ranks": draw(st.lists(each, min_size=count + 1, max_size=count + 1)),
        "order": draw(st.permutations(range(count))),
        "closed": draw(st.booleans()),
        "seed": draw(st.integers(0, 1000)),
        "zeros": draw(st.sampled_from([0.0, 0.3])),
    }


def table(p, rows, seed):
    """Values (rows, K) and a mask of observed cells."""
    random = np.random.default_rng(seed)
    columns = [
        random.normal(size=rows) if isinstance(site, Gaussian) else random.integers(site.states, size=rows)
        for site in p.sites
    ]
    values = torch.as_tensor(np.stack(columns, 1).astype(float))
    return values, torch.as_tensor(random.random(values.shape) < 0.6)


def rows_of(oracle, values, mask):
    return {k: oracle.exact(k, values[k].item()) for k in range(len(values)) if mask[k]}


@MANY
@given(shape=shapes())
def test_log_prob_of_any_subset(brute, network, shape):
    p = network(**shape)
    oracle = brute(p)
    if oracle.weight.sum() == 0:
        return
    values, mask = table(p, 4, shape["seed"])
    expected = [oracle.log_evidence(rows_of(oracle, v, m)) for v, m in zip(values, mask, strict=True)]
    expected = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(p.log_prob(values, mask), expected, rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(p.observe(values, mask).log_evidence, expected, rtol=0, atol=TOLERANCE)


@MANY
@given(shape=shapes(smallest=2))
def test_log_prob_given_evidence(brute, network, shape):
    p = network(**{**shape, "zeros": 0.0})
    oracle = brute(p)
    values, mask = table(p, 3, shape["seed"])
    known = mask & (torch.arange(values.shape[1]) % 2 == 0)
    q = p.observe(values, known)
    found = q.log_prob(values, mask)
    for row in range(3):
        joint = oracle.log_evidence(rows_of(oracle, values[row], mask[row]))
        alone = oracle.log_evidence(rows_of(oracle, values[row], known[row]))
        assert abs(found[row].item() - (joint - alone)) < TOLERANCE


@MANY
@given(shape=shapes())
def test_posteriors_of_every_site(brute, network, shape):
    p = network(**{**shape, "zeros": 0.0})
    oracle = brute(p)
    values, mask = table(p, 3, shape["seed"])
    found = p.observe(values, mask).component_posteriors()
    for row in range(3):
        rows = rows_of(oracle, values[row], mask[row])
        for k, site in enumerate(p.sites):
            np.testing.assert_allclose(
                found[site.name][row].cpu().numpy(), oracle.posterior(rows, k), rtol=0, atol=TOLERANCE
            )


@MANY
@given(shape=shapes(smallest=2))
def test_gradients_are_those_of_enumeration(brute, network, shape):
    """The hand-written backward pass, in cores and values, against finite differences of brute force."""
    p = network(**{**shape, "zeros": 0.0})
    values, mask = table(p, 2, shape["seed"])
    cores = [core.clone().requires_grad_() for core in p.cores]
    values.requires_grad_()
    q = type(p)(p.legs, cores, order=p.order)
    q.log_prob(values, mask).sum().backward()
    at = shape["seed"] % len(cores)

    def brute_force(step):
        moved = [core.detach().clone() for core in cores]
        moved[at].view(-1)[0] += step
        oracle = brute(type(p)(p.legs, moved, order=p.order))
        each = [
            oracle.log_evidence(rows_of(oracle, v, m)) for v, m in zip(values.detach(), mask, strict=True)
        ]
        return sum(each)

    slope = (brute_force(1e-5) - brute_force(-1e-5)) / 2e-5
    assert abs(cores[at].grad.view(-1)[0].item() - slope) < 1e-6 * max(1, abs(slope))
    if values.grad is not None:  # labels have no gradient
        assert bool((values.grad[~mask] == 0).all())


def test_gradients_of_values(network):
    p = network("cdc", [3, 2, 2], [2, 3, 2, 2], closed=True)
    values = torch.tensor([[0.3, 1.0, -2.0], [5.0, 0.0, 0.1]], dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True, True, True], [True, True, False]])

    def density(z):
        return p.log_prob(torch.stack([z[:, 0], values.detach()[:, 1], z[:, 1]], 1), mask)

    assert torch.autograd.gradcheck(density, values[:, [0, 2]])


COMPONENTS = {
    "mixture": GaussianMixturePrior,
    "factor ring": lambda sites, count, seed: FactorRingPrior(
        sites, count, points=2, order=[2, 0, 3, 1], seed=seed
    ),
}


@pytest.mark.parametrize("kind", COMPONENTS)
@settings(max_examples=25, derandomize=True)
@given(seed=st.integers(0, 1000), components=st.integers(1, 4))
def test_components_over_all_sites(brute, kind, seed, components):
    sites = [Gaussian("z0"), Categorical("a", ("x", "y", "z")), Gaussian("z1"), Categorical("b")]
    prior = COMPONENTS[kind](sites, components, seed=seed).double()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
        p = prior()
    oracle = brute(p)
    values, mask = table(p, 3, seed)
    for row in range(3):
        rows = rows_of(oracle, values[row], mask[row])
        found = p.log_prob(values[row], mask[row]).item()
        assert abs(found - oracle.log_evidence(rows)) < TOLERANCE


@MANY
@given(shape=shapes(smallest=2))
def test_one_contraction_is_posterior_plus_evidence(network, shape):
    """log p(z | y) + log p(y) = log p(z, y), which is why one contraction serves the bound of a VAE."""
    p = network(**{**shape, "zeros": 0.0})
    values, mask = table(p, 3, shape["seed"])
    labels = torch.tensor([isinstance(site, Categorical) for site in p.sites])
    q = p.observe(values, mask & labels)
    both = q.log_prob(values, mask & ~labels) + q.log_evidence
    torch.testing.assert_close(both, p.log_prob(values, mask), rtol=0, atol=TOLERANCE)


@MANY
@given(shape=shapes(smallest=2))
def test_marginals_keep_what_is_known(brute, network, shape):
    """The marginal of a conditional: hidden sites are summed out, hidden evidence still counts."""
    p = network(**{**shape, "zeros": 0.0})
    oracle = brute(p)
    values, _ = table(p, 3, shape["seed"])
    last, first = len(p.sites) - 1, p.sites[0].name
    known = torch.zeros_like(values, dtype=torch.bool)
    known[:, last] = True
    q = p.observe(values, known).marginal([first])
    assert q.event_shape == (1,)
    assert q.sites == (p.sites[0],)
    found = q.log_prob(values[:, :1])
    again = q.observe(values[:, :1]).log_evidence
    for row in range(3):
        hidden = {last: oracle.exact(last, values[row, last].item())}
        both = hidden | {0: oracle.exact(0, values[row, 0].item())}
        expected = oracle.log_evidence(both)
        assert abs(found[row].item() - (expected - oracle.log_evidence(hidden))) < TOLERANCE
        assert abs(again[row].item() - expected) < TOLERANCE


@pytest.mark.parametrize("parameters", [False, True])
def test_a_mixture_can_be_differentiated_twice(parameters):
    """By finite differences of the gradient: of values, and of means and widths."""
    prior = GaussianMixturePrior([Gaussian("z0"), Gaussian("z1")], 3, seed=1).double()
    values = torch.randn(2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    inputs = tuple(prior.parameters()) if parameters else (values.requires_grad_(),)
    assert torch.autograd.gradgradcheck(lambda *_: prior().log_prob(values), inputs)


def test_a_mixture_can_be_differentiated_by_a_transform():
    """As `torch.func` does, of parameters and of values, and the usual way in between."""
    prior = GaussianMixturePrior([Gaussian("z0"), Gaussian("z1")], 3, seed=1).double()
    parameters, values = dict(prior.named_parameters()), torch.tensor([[0.3, -1.0]], dtype=torch.float64)

    def log_density(parameters, values):
        return torch.func.functional_call(
            Density(prior), {f"prior.{k}": v for k, v in parameters.items()}, (values,)
        )

    for _ in range(2):
        expected = torch.autograd.grad(prior().log_prob(values).sum(), list(parameters.values()))
        found = torch.func.grad(log_density)(parameters, values)
        torch.testing.assert_close(tuple(found.values()), expected)
    moved = values.clone().requires_grad_()
    (expected,) = torch.autograd.grad(prior().log_prob(moved).sum(), moved)
    torch.testing.assert_close(torch.func.grad(log_density, argnums=1)(parameters, values), expected)


class Density(torch.nn.Module):
    """The sum of log densities, as a module whose parameters may be put in from outside."""

    def __init__(self, prior):
        super().__init__()
        self.prior = prior

    def forward(self, values):
        return self.prior().log_prob(values).sum()
