"""Priors behind a flow, and priors of pseudo-inputs: change of variables, exact attributes, what is refused."""

import copy

import pytest
import torch

from tnprior_core import (
    Categorical,
    FactorRingPrior,
    FlowPrior,
    Gaussian,
    GaussianMixturePrior,
    QueryError,
    ShapeError,
    SiteError,
    StandardNormalPrior,
    TensorRingPrior,
    TensorTrainPrior,
    VampPrior,
)

SITES = [Gaussian("z0", 3), Categorical("a", ("x", "y", "z")), Gaussian("z1", 2), Categorical("b")]
LATENTS = [0, 2]
BASES = {
    "train": lambda: TensorTrainPrior(SITES, rank=2),
    "ring": lambda: TensorRingPrior(SITES, rank=2),
    "mixture": lambda: GaussianMixturePrior(SITES, components=3),
    "factor ring": lambda: FactorRingPrior(SITES, components=3, points=2),
    "normal": lambda: StandardNormalPrior(SITES),
}


def bent(name="ring"):
    """A flow that is far from the identity, in float64."""
    prior = FlowPrior(BASES[name](), layers=3, hidden=6).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in prior.flow.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return prior


def rows(count=4):
    generator = torch.Generator().manual_seed(2)
    values = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    values[:, 1] = torch.randint(3, (count,), generator=generator)
    values[:, 3] = torch.randint(2, (count,), generator=generator)
    return values


@pytest.mark.parametrize("name", BASES)
def test_change_of_variables_against_the_jacobian(name):
    prior, values = bent(name), rows()
    p, base = prior(), prior.base()
    for value in values:
        z = value[LATENTS]
        jacobian = torch.autograd.functional.jacobian(lambda z: prior.flow(z.unsqueeze(0)).value[0], z)
        moved = value.clone()
        moved[LATENTS] = prior.flow(z.unsqueeze(0)).value[0]
        expected = base.log_prob(moved) + jacobian.det().abs().log()
        torch.testing.assert_close(p.log_prob(value), expected)
    torch.testing.assert_close(prior.flow.inverse(prior.flow(values[:, LATENTS]).value), values[:, LATENTS])


def test_the_density_integrates_to_one_and_attributes_stay_as_they_are():
    prior = bent()
    p = prior()
    line = torch.linspace(-28, 28, 161, dtype=torch.float64)
    values = torch.zeros(161**2, 4, dtype=torch.float64)
    values[:, LATENTS] = torch.cartesian_prod(line, line)
    latents = torch.tensor([True, False, True, False])
    with torch.no_grad():
        assert p.log_prob(values, latents).exp().sum().item() * 0.35**2 == pytest.approx(1, abs=1e-3)
    assert torch.equal(p.log_prob(rows(), ~latents), prior.base().log_prob(rows(), ~latents))
    assert torch.equal(p.marginal("a").probs, prior.base().marginal("a").probs)
    assert sorted(p.marginals()) == ["a", "b"]
    assert p.marginal(["b", "a"]).event_shape == (2,)
    assert torch.equal(p.complete().codes, prior.base().complete().codes)


def test_conditions_on_attributes_and_whole_examples():
    prior, values = bent(), rows(6)
    p = prior()
    values[:, 1] = 1
    q = p.condition({"a": "y"})
    torch.testing.assert_close(q.log_prob(values), p.log_prob(values) - q.log_evidence)
    latents = torch.tensor([True, False, True, False])
    seen = p.observe(values, latents)
    torch.testing.assert_close(seen.log_evidence, p.log_prob(values, latents))
    torch.testing.assert_close(seen.log_prob(values), p.log_prob(values) - seen.log_evidence)
    torch.testing.assert_close(seen.log_prob(values, latents), torch.zeros(6, dtype=torch.float64))
    assert bool((seen.log_prob(values + latents * 0.1) == -torch.inf).all())
    # Posterior of a label given the latents, by enumeration.
    tables = values.repeat(3, 1, 1)
    tables[:, :, 1] = torch.arange(3.0).view(3, 1)
    joint = p.log_prob(tables, torch.tensor([True, True, True, False])).exp()
    torch.testing.assert_close(seen.marginals()["a"].probs, (joint / joint.sum(0)).mT)
    both = seen.condition({"b": "1"})
    values[:, 3] = 1
    torch.testing.assert_close(both.log_evidence, p.log_prob(values, latents | (torch.arange(4) == 3)))
    draws = both.sample((3,), seed=1)
    assert torch.equal(draws[..., LATENTS], values[:, LATENTS].expand(3, 6, 2))
    some = p.observe(values, latents & (torch.arange(6) % 2 == 0).unsqueeze(1))
    torch.testing.assert_close(some.log_evidence[::2], p.log_prob(values, latents)[::2])
    assert some.log_evidence[1::2].abs().max().item() < 1e-12


def test_samples_are_those_of_the_base_and_follow_the_density():
    prior = bent()
    p = prior()
    draws = p.sample((4000,), seed=3)
    base = prior.base().sample((4000,), seed=3)
    assert torch.equal(draws[:, [1, 3]], base[:, [1, 3]])
    torch.testing.assert_close(prior.flow(draws[:, LATENTS]).value, base[:, LATENTS])
    torch.testing.assert_close(p.sample((7,), seed=3, first=100), draws[100:107])
    given = p.condition({"b": "1"}).sample((50,), seed=3)
    assert bool((given[:, 3] == 1).all())


def test_paths_through_the_flow():
    """E[g(z)] by quadrature of the base's density: gradients of base and flow."""
    prior = bent("mixture")
    paths = prior().rsample((5000,), seed=5)
    assert torch.equal(paths, prior().sample((5000,), seed=5))
    line = torch.linspace(-12, 12, 61, dtype=torch.float64)
    u = torch.zeros(61**2, 4, dtype=torch.float64)
    u[:, LATENTS] = torch.cartesian_prod(line, line)
    weight = prior.base().log_prob(u, torch.tensor([True, False, True, False])).exp() * 0.4**2

    def g(z):
        return torch.tanh(z[:, 0] - 0.5 * z[:, 1])

    expected = (weight * g(prior.flow.inverse(u[:, LATENTS]))).sum()
    names = [name for name, _ in prior.named_parameters() if "label" not in name]
    chosen = [dict(prior.named_parameters())[name] for name in names]
    exact = torch.autograd.grad(expected, chosen)
    found = torch.autograd.grad(g(paths[:, LATENTS]).mean(), chosen)
    for name, one, two in zip(names, found, exact, strict=True):
        assert (one - two).abs().max().item() < 0.06 * max(1, two.abs().max().item()), name


@pytest.mark.parametrize(
    "ask",
    [
        lambda p: p.condition({"z0": 0.3}),
        lambda p: p.observe(rows(), torch.tensor([True, False, False, False])),
        lambda p: p.log_prob(rows(), torch.tensor([True, True, False, True])),
        lambda p: p.marginal("z0"),
        lambda p: p.marginals(["a", "z1"]),
        lambda p: p.mean,
        lambda p: p.variance,
        lambda p: p.covariance(),
    ],
)
def test_what_has_no_closed_form_is_refused(ask):
    with pytest.raises(QueryError, match="behind a flow"):
        ask(bent()())


def test_a_flow_is_a_module():
    prior = bent()
    p = prior()
    p.log_prob(rows()).sum().backward()
    assert all(bool(x.grad.isfinite().all()) and bool(x.grad.count_nonzero()) for x in prior.parameters())
    fresh = FlowPrior(BASES["ring"](), layers=3, hidden=6, seed=9).double()
    fresh.load_state_dict(copy.deepcopy(prior).state_dict())
    assert torch.equal(fresh().log_prob(rows()), prior().log_prob(rows()))
    near = FlowPrior(BASES["ring"]())
    torch.testing.assert_close(near.flow(torch.randn(5, 2)).log_det, torch.zeros(5), atol=0.5, rtol=0)
    assert p.has_rsample is True
    assert p.log_prob(rows()[:0]).shape == (0,)
    assert p.sample((0,)).shape == (0, 4)
    with pytest.raises(SiteError, match="itself no flow"):
        FlowPrior(near)
    with pytest.raises(SiteError, match="continuous sites"):
        FlowPrior(TensorTrainPrior([Categorical("a")], rank=2))
    with pytest.raises(SiteError, match="layers and hidden"):
        FlowPrior(BASES["ring"](), layers=0)


def test_pseudo_inputs_are_a_mixture_of_the_encoder():
    encoder = torch.nn.Linear(3, 4).double()

    def encode(u):
        mean, raw = encoder(u).chunk(2, 1)
        return mean, raw.exp()

    inputs = torch.rand(5, 3, dtype=torch.float64)
    prior = VampPrior([Gaussian("z0"), Gaussian("z1")], inputs, encode)
    z = torch.randn(7, 2, dtype=torch.float64)
    mean, sigma = encode(inputs)
    each = torch.distributions.Normal(mean, sigma).log_prob(z.unsqueeze(1)).sum(2)
    torch.testing.assert_close(prior().log_prob(z), each.logsumexp(1) - torch.tensor(5.0).log())
    assert [name for name, _ in prior.named_parameters()] == ["inputs"]
    prior().rsample((3,)).sum().backward()
    assert encoder.weight.grad is not None
    assert bool(prior.inputs.grad.count_nonzero())


def test_pseudo_inputs_stay_in_the_range_of_the_data():
    prior = VampPrior([Gaussian("z0")], torch.full((2, 1), 0.5), lambda u: (u, u * 0 + 1))
    with torch.no_grad():
        prior.inputs.copy_(torch.tensor([[3.0], [-2.0]]))
    p = prior()
    assert p.legs.groups[0].mean.flatten().tolist() == [1.0, 0.0]
    p.log_prob(torch.zeros(1, 1)).sum().backward()
    assert bool(prior.inputs.grad[0] != 0)
    assert VampPrior([Gaussian("z0")], torch.tensor([[7.0]]), lambda u: (u, u)).inputs.item() == 1


def test_pseudo_inputs_that_do_not_fit():
    with pytest.raises(SiteError, match="at least one pseudo-input"):
        VampPrior([Gaussian("z0")], torch.zeros(0, 3), lambda u: (u, u))
    with pytest.raises(SiteError, match="continuous sites"):
        VampPrior([Categorical("a")], torch.zeros(2, 3), lambda u: (u, u))
    with pytest.raises(ShapeError, match=r"expected mean and sigma \(2, 1\)"):
        VampPrior([Gaussian("z0")], torch.zeros(2, 3), lambda u: (u, u))()
