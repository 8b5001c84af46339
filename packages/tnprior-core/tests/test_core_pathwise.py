"""Pathwise gradients against the sampler's exact distribution: quadrature, finite differences, closed forms."""

import copy

import numpy
import pytest
import torch

from tnprior_core import (
    Between,
    Categorical,
    FactorRingPrior,
    Gaussian,
    GaussianMixturePrior,
    Legs,
    Mixture,
    Noisy,
    OneOf,
    QueryError,
    StandardNormalPrior,
    TensorRingPrior,
    TensorTrainPrior,
)
from tnprior_core.pathwise import attach_paths

SITES = [Gaussian("z0", 3), Categorical("a", ("x", "y", "z")), Gaussian("z1", 2), Categorical("b")]
LATENTS = [0, 2]
PRIORS = {
    "train": lambda: TensorTrainPrior(SITES, rank=3),
    "train, other order": lambda: TensorTrainPrior(SITES, rank=[2, 1, 3, 2, 1], order=[2, 3, 1, 0]),
    "ring": lambda: TensorRingPrior(SITES, rank=3),
    "ring, other order": lambda: TensorRingPrior(SITES, rank=[3, 2, 1, 2], order=[1, 2, 3, 0]),
    "mixture": lambda: GaussianMixturePrior(SITES, components=4),
    "factor ring": lambda: FactorRingPrior(SITES, components=3, points=2, order=[2, 3, 1, 0]),
}


def made(name):
    """A prior in float64 whose parameters are far from any symmetry."""
    prior = PRIORS[name]().double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter_name, parameter in prior.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(0.2 * noise - 0.1 if "log_sigma" in parameter_name else parameter + 0.5 * noise)
    return prior


def grid(interval=None, count=71):
    """Points (n, K) over the latents, the labels at zero, and the weight of each: trapezoidal, Gauss-Legendre."""
    line = torch.linspace(-11, 11, count, dtype=torch.float64)
    step = torch.full((count,), 22 / (count - 1), dtype=torch.float64)
    first, weight = line, step
    if interval is not None:
        low, high = interval
        nodes, weight = (torch.from_numpy(x).to(line) for x in numpy.polynomial.legendre.leggauss(24))
        first, weight = low + (high - low) * (nodes + 1) / 2, (high - low) / 2 * weight
    values = torch.zeros(len(first) * count, len(SITES), dtype=torch.float64)
    values[:, LATENTS] = torch.cartesian_prod(first, line)
    return values, torch.outer(weight, step).flatten()


MASK = torch.tensor([True, False, True, False])


def g(z):
    """Neither separable nor even."""
    return torch.sin(z[:, 0] + 0.3) * z[:, 1] + 0.1 * (z[:, 0] * z[:, 1]).square() + z[:, 1] ** 3 / 9


def expectation(q, values, weight):
    """`E[g]` under the exact density of the latents."""
    return (q.log_prob(values, MASK).exp() * weight * g(values[:, LATENTS])).sum()


def pathwise(q, values, weight, floor=0.0):
    """A surrogate whose gradient is the exact expectation of the pathwise gradient: no draws, no noise."""
    density = q.log_prob(values, MASK).exp().detach()
    paths = attach_paths(q, values, floor=floor)
    keep = density > 0
    return (density * weight * g(paths[:, LATENTS]))[keep].sum()


def gradients(prior, loss):
    found = torch.autograd.grad(loss, list(prior.parameters()), allow_unused=True, retain_graph=True)
    zeros = [torch.zeros_like(parameter) for parameter in prior.parameters()]
    return torch.cat([(zero if x is None else x).flatten() for x, zero in zip(found, zeros, strict=True)])


EVIDENCE = {
    "nothing": {},
    "a label": {"a": "y"},
    "a set of labels": {"a": OneOf("x", "z"), "b": "1"},
    "a measurement": {"z1": Noisy(0.6, 0.7)},
}


@pytest.mark.parametrize(
    ("name", "known"),
    [
        *((name, "nothing") for name in PRIORS),
        ("train, other order", "a set of labels"),
        ("ring", "a label"),
        ("ring, other order", "a measurement"),
        ("mixture", "a set of labels"),
        ("factor ring", "a measurement"),
    ],
)
def test_the_expected_pathwise_gradient_is_the_gradient_of_the_expectation(name, known):
    prior = made(name)
    q, nodes = prior().condition(EVIDENCE[known]), grid()
    expected = gradients(prior, expectation(q, *nodes))
    found = gradients(prior, pathwise(prior().condition(EVIDENCE[known]), *nodes))
    assert expected.abs().max() > 0.05
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["train", "ring, other order", "mixture", "factor ring"])
def test_an_interval_and_its_ends(name):
    """Truncated components; the ends move too."""
    prior, low, high = made(name), -0.7, 1.1
    ends = torch.tensor([low, high], dtype=torch.float64, requires_grad=True)
    q = prior().condition({"z0": Between(ends[0], ends[1])})
    nodes = grid((low, high))
    found, moved = pathwise(q, *nodes), torch.autograd.grad(pathwise(q, *nodes), ends, retain_graph=True)[0]
    torch.testing.assert_close(
        gradients(prior, found), gradients(prior, expectation(q, *nodes)), rtol=1e-6, atol=1e-7
    )

    def at(a, b):
        with torch.no_grad():
            return expectation(prior().condition({"z0": Between(a, b)}), *grid((a, b)))

    step = 1e-3
    slopes = [at(low + step, high) - at(low - step, high), at(low, high + step) - at(low, high - step)]
    torch.testing.assert_close(moved, torch.stack(slopes) / (2 * step), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", PRIORS)
def test_a_value_that_was_conditioned_on(name):
    """It comes back as it is, and moves the others; one value per example."""
    prior = made(name)
    known = torch.tensor([0.4, -1.2], dtype=torch.float64, requires_grad=True)
    q = prior().condition({"z0": known})
    line = torch.linspace(-11, 11, 161, dtype=torch.float64)
    values = torch.zeros(161, 2, 4, dtype=torch.float64)
    values[..., 0], values[..., 2] = known.detach(), line.unsqueeze(1)
    density = q.log_prob(values, torch.arange(4) == 2).exp() * (line[1] - line[0])
    paths = attach_paths(q, values.flatten(0, 1), floor=0.0)
    assert paths[:, 0].equal(known.repeat(161))
    found = (density.detach().flatten() * g(paths[:, LATENTS])).sum()
    exact = torch.cat([known.expand(161, 2).reshape(-1, 1), values[..., 2].reshape(-1, 1)], 1)
    expected = (density.flatten() * g(exact)).sum()
    ends = [torch.autograd.grad(x, known, retain_graph=True)[0] for x in (found, expected)]
    torch.testing.assert_close(*ends, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(gradients(prior, found), gradients(prior, expected), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["ring", "mixture"])
def test_finite_differences_of_the_samplers_distribution(name):
    """No automatic differentiation on this side."""
    prior, nodes = made(name), grid()
    found = gradients(prior, pathwise(prior(), *nodes))
    direction = torch.randn(found.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    values = []
    for sign in (1, -1):
        other = copy.deepcopy(prior)
        vector = torch.nn.utils.parameters_to_vector(prior.parameters()) + sign * 1e-5 * direction
        torch.nn.utils.vector_to_parameters(vector, other.parameters())
        with torch.no_grad():
            values.append(expectation(other(), *nodes))
    slope = (values[0] - values[1]) / 2e-5
    torch.testing.assert_close(found @ direction, slope, rtol=1e-6, atol=1e-8)


def test_one_normal_is_location_and_scale():
    mean = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    log_sigma = torch.tensor([-0.3], dtype=torch.float64, requires_grad=True)
    p = Mixture(Legs.of([Gaussian("z", 1)], {"z": (mean, log_sigma)}), torch.zeros(1, dtype=torch.float64))
    z = p.rsample((50,), seed=1)
    for i in range(0, 50, 7):
        slopes = torch.autograd.grad(z[i, 0], (mean, log_sigma), retain_graph=True)
        torch.testing.assert_close(slopes[0], torch.ones_like(slopes[0]))
        torch.testing.assert_close(slopes[1], (z[i] - mean).detach())


def test_one_mixture_against_its_closed_form():
    """dz/dmu_s is the responsibility of s, dz/dlogit_s is pi_s (F - Phi_s) / f."""
    mean = torch.tensor([-1.0, 0.2, 2.0], dtype=torch.float64, requires_grad=True)
    log_sigma = torch.tensor([-0.5, 0.1, -0.2], dtype=torch.float64)
    logits = torch.tensor([0.3, -0.4, 0.0], dtype=torch.float64, requires_grad=True)
    p = Mixture(Legs.of([Gaussian("z", 3)], {"z": (mean, log_sigma)}), logits)
    z = p.rsample((20,), seed=2)
    normal = torch.distributions.Normal(mean.detach(), log_sigma.exp())
    pi = logits.detach().softmax(0)
    for i in range(20):
        slopes = torch.autograd.grad(z[i, 0], (mean, logits), retain_graph=True)
        density, level = normal.log_prob(z[i].detach()).exp(), normal.cdf(z[i].detach())
        f = (pi * density).sum()
        torch.testing.assert_close(slopes[0], pi * density / f)
        torch.testing.assert_close(slopes[1], pi * ((pi * level).sum() - level) / f)


@pytest.mark.parametrize("name", [*PRIORS, "normal"])
def test_the_values_are_those_of_sample(name):
    prior = PRIORS[name]() if name in PRIORS else StandardNormalPrior(SITES)
    p = prior()
    table = p.sample((6,), seed=9)
    seen = torch.rand(6, 4, generator=torch.Generator().manual_seed(0)) < 0.4
    for q in (
        p,
        p.condition({"a": "x", "z1": Between(-1.0, 0.5)}),
        p.condition({"z1": Noisy(torch.tensor([0.1, 0.9]), 0.2)}),
        p.observe(table, seen),
        p.marginal(["z1", "a"]),
    ):
        for shape in ((), (5,), (2, 3)):
            drawn, paths = q.sample(shape, seed=4, first=3), q.rsample(shape, seed=4, first=3)
            assert paths.shape == (*shape, *q.batch_shape, len(q.sites))
            assert torch.equal(drawn, paths)
            assert paths.requires_grad or name == "normal"
    assert p.rsample((0,)).shape == (0, 4)
    assert torch.equal(p.rsample((9,), seed=1, first=5)[:2], p.rsample((7,), seed=1)[5:])


def test_what_has_a_path():
    prior = PRIORS["ring"]()
    assert prior().has_rsample is True
    labels = prior().marginal(["a", "b"])
    assert labels.has_rsample is False
    with pytest.raises(QueryError, match="expected a continuous site"):
        labels.rsample((2,))
    z = prior().rsample((4,), seed=0)
    assert (
        torch.autograd.grad(z[:, 1].sum(), list(prior.parameters()), allow_unused=True)[0].count_nonzero()
        == 0
    )


def both_estimates(prior, g, count, seed):
    """Gradients of E[g(z)] of single draws, (count, parameters): pathwise, and REINFORCE with a baseline."""
    parameters = list(prior.parameters())
    p = prior()
    z = p.rsample((count,), seed=seed)
    values = g(z)
    baseline = (values.detach().sum() - values.detach()) / (count - 1)
    score = p.log_prob(z.detach()) * (values.detach() - baseline)
    rows = []
    for estimate in (values, score):
        found = [torch.autograd.grad(x, parameters, retain_graph=True, allow_unused=True) for x in estimate]
        rows.append(torch.stack([torch.cat([x.flatten() for x in row if x is not None]) for row in found]))
    return rows


@pytest.mark.slow
def test_unbiased_and_less_noisy_than_reinforce():
    """The same draws of a ring over four sites: both estimate one gradient, one with a fraction of the variance.

    4.6 times less over four sites of rank 3 (120 draws), 9.5 times less over six (400 draws).
    """
    torch.manual_seed(0)
    prior = TensorRingPrior([Gaussian(f"z{k}", 4) for k in range(4)], rank=3, seed=1).double()
    weight = torch.randn(4, dtype=torch.float64)
    paths, score = both_estimates(prior, lambda z: torch.tanh(z @ weight), 60, 3)
    error = ((paths.var(0) + score.var(0)) / 60).sqrt()
    gap = (paths.mean(0) - score.mean(0)).abs()
    assert bool((gap <= 5 * error + 1e-12).all())
    ratio = (score.var(0).sum() / paths.var(0).sum()).item()
    assert ratio > 2


@pytest.mark.slow
def test_labels_that_were_drawn_need_their_score():
    """`g + stop(g) log p(y | z)`: the whole gradient of E[g(z, y)], the path alone misses a part."""
    prior, (values, weight) = made("ring"), grid(count=51)
    p = prior()
    expected = found = missed = torch.zeros((), dtype=torch.float64)
    for a in range(3):
        for b in range(2):
            table = values.clone()
            table[:, 1], table[:, 3] = a, b
            factor = 1.0 + a - 2.0 * b
            density = p.log_prob(table).exp() * weight
            expected = expected + (density * factor * g(table[:, LATENTS])).sum()
            paths = attach_paths(p, table, floor=0.0)
            reward = factor * g(paths[:, LATENTS])
            chosen = p.log_prob(paths) - p.log_prob(paths, MASK)
            found = found + (density.detach() * (reward + reward.detach() * chosen)).sum()
            missed = missed + (density.detach() * reward).sum()
    right = gradients(prior, expected)
    torch.testing.assert_close(gradients(prior, found), right, rtol=1e-3, atol=1e-3)
    assert (gradients(prior, missed) - right).abs().max() > 0.05


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("word", [Between(60.0, 61.0), Between(-torch.inf, -60.0), Noisy(60.0, 0.1)])
def test_far_tails_in_single_precision(name, word):
    prior = PRIORS[name]()
    precise = copy.deepcopy(prior).double()
    draws = prior().condition({"z0": word}).rsample((20,), seed=1)
    assert bool(draws.isfinite().all())
    found = gradients(prior, draws[:, LATENTS].sum())
    q = precise().condition({"z0": word})
    expected = gradients(precise, attach_paths(q, draws.detach().double(), floor=0.0)[:, LATENTS].sum())
    assert bool(found.isfinite().all())
    torch.testing.assert_close(found.double(), expected, rtol=2e-2, atol=2e-3 * expected.abs().max().item())


@pytest.mark.parametrize("kind", [TensorTrainPrior, TensorRingPrior])
def test_single_precision_over_many_sites(kind):
    prior = kind([Gaussian(f"z{k}", 5) for k in range(24)] + [Categorical("a")], rank=4)
    precise = copy.deepcopy(prior).double()
    draws = prior().rsample((8,), seed=1)
    weight = torch.randn(25, generator=torch.Generator().manual_seed(0))
    found = gradients(prior, torch.tanh(draws @ weight / 8).sum())
    paths = attach_paths(precise(), draws.detach().double(), floor=0.0)
    expected = gradients(precise, torch.tanh(paths @ weight.double() / 8).sum())
    torch.testing.assert_close(found.double(), expected, rtol=1e-2, atol=1e-3 * expected.abs().max().item())


def test_a_floor_bounds_the_gradient_between_distant_modes():
    mean, log_sigma = torch.tensor([-5.0, 5.0]), torch.zeros(2)
    logits = torch.zeros(2, requires_grad=True)
    p = Mixture(Legs.of([Gaussian("z", 2)], {"z": (mean, log_sigma)}), logits)
    middle = torch.tensor([[0.1]])
    slopes = [
        torch.autograd.grad(attach_paths(p, middle, floor=floor).sum(), logits)[0].abs().max().item()
        for floor in (0.0, 0.01)
    ]
    assert slopes[0] > 1e4
    assert slopes[1] == pytest.approx(0.25 / 0.01, rel=1e-3)


def kept(make):
    """What `make` returns, and the numbers that it keeps for its backward pass."""
    storages = {}

    def note(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // tensor.itemsize
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        found = make()
    return found, sum(storages.values())


@pytest.mark.parametrize("known", [{}, {"a": torch.arange(9000) % 2, "z20": Noisy(0.3, 0.5)}])
def test_a_long_ring_is_followed_in_pieces(known):
    """9000 draws keep fewer numbers than two times 4500, and their gradients are the sum of the two."""
    sites = [Gaussian(f"z{k}", 3) for k in range(30)]
    sites.insert(17, Categorical("a"))
    prior = TensorRingPrior(sites, rank=8, order=[*range(5, 31), *range(5)]).double()
    q, weight = prior().condition(known), torch.randn(31, dtype=torch.float64)
    drawn = q.sample(() if q.batch_shape else (9000,), seed=1)
    whole, few = kept(lambda: attach_paths(q, drawn, floor=0.0))
    assert whole.equal(drawn)
    found = gradients(prior, torch.tanh(whole @ weight).sum())
    expected, many = torch.zeros_like(found), 0
    for half in (slice(4500), slice(4500, None)):
        part = {name: word[half] if isinstance(word, torch.Tensor) else word for name, word in known.items()}
        paths, numbers = kept(
            lambda part=part, half=half: attach_paths(prior().condition(part), drawn[half], floor=0.0)
        )
        expected, many = expected + gradients(prior, torch.tanh(paths @ weight).sum()), many + numbers
    assert expected.abs().max() > 1
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    if drawn.device.type == "cpu":  # elsewhere all of this is one piece
        assert few < many / 4
