"""Rings of blocks: the same ring with all of its cores, closed forms of the factors, and what they start from."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tnprior_core import (
    BlockRing,
    Categorical,
    FactorRingPrior,
    Gaussian,
    GaussianMixturePrior,
    LabelLegs,
    Legs,
    Noisy,
    Not,
    TensorRing,
    initialize_from_clusters,
    initialize_from_labels,
)
from tnprior_core.priors.factor_ring import binomial_chain, standard_binomial

SITES = [Gaussian("z0"), Categorical("a", ("x", "y", "z")), Gaussian("z1"), Gaussian("z2"), Categorical("b")]
EVIDENCE = {
    "nothing": {},
    "a label": {"b": "1"},
    "labels and a measurement": {"a": Not("y"), "z2": Noisy(0.4, 0.5)},
    "a value": {"z1": -0.8},
}


def shaken(seed=0, sites=SITES, components=3, points=3, factors=1, order=None):
    """A prior in float64 whose parameters are far from any symmetry."""
    prior = FactorRingPrior(sites, components, points=points, factors=factors, order=order).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, device="cpu").to(parameter))
    return prior


def in_full(p):
    """The tensor ring with all of its cores `Q_k[s] = e_s T_k[s, :]`, at its closing bond places alone.

    A tensor ring's labels have no emissions, so that cores of labels are `Q[y] = sum_s p(y | s) Q[s]`.
    """
    count, points = p.opening.shape
    weight = (p.log_weight.exp().unsqueeze(1) * p.opening).flatten()
    bonds = torch.eye(count * points).to(weight)  # e_s
    places = torch.eye(count).to(weight).repeat_interleave(points, 0)  # the place of s
    last, cores = len(p.order) - 1, []
    for k, site in enumerate(p.order):
        enters = bonds if k else weight.unsqueeze(1) * places
        leaves = torch.block_diag(*p.transitions[k]) if k < last else places
        core = enters.unsqueeze(2) * leaves.unsqueeze(1)
        group, at = p.legs.where[site]
        if isinstance(group, LabelLegs):
            core = torch.einsum("sy,sab->yab", group.log_emission[at].exp(), core)
        cores.append(core)
    groups = [
        LabelLegs(group.sites, group.labels) if isinstance(group, LabelLegs) else group
        for group in p.legs.groups
    ]
    return TensorRing(Legs(p.legs.sites, groups), cores, order=p.order)


def table(rows, seed=1):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, 5, generator=generator, device="cpu").double()
    values[:, 1] = torch.randint(3, (rows,), generator=generator, device="cpu")
    values[:, 4] = torch.randint(2, (rows,), generator=generator, device="cpu")
    mask = torch.rand(rows, 5, generator=generator, device="cpu") < 0.6
    like = torch.zeros(())  # on the default device
    return values.to(like.device), mask.to(like.device)


@settings(max_examples=20, derandomize=True, deadline=None)
@given(
    seed=st.integers(0, 1000),
    components=st.integers(1, 3),
    points=st.integers(2, 4),
    factors=st.integers(1, 2),
    order=st.permutations(range(5)),
)
def test_it_is_the_ring_with_all_of_its_cores(seed, components, points, factors, order):
    prior = shaken(seed, components=components, points=points, factors=factors, order=order)
    p = prior()
    q, (values, mask) = in_full(p), table(6, seed)
    torch.testing.assert_close(p.log_normalizer, torch.zeros_like(p.log_normalizer), rtol=0, atol=1e-12)
    torch.testing.assert_close(p.log_prob(values, mask), q.log_prob(values, mask), rtol=0, atol=1e-10)


@pytest.mark.parametrize("known", EVIDENCE)
def test_all_queries_agree_with_the_ring_in_full(known):
    p = shaken(4, points=2, factors=2, order=[3, 1, 0, 4, 2])()
    q = in_full(p).condition(EVIDENCE[known])
    p = p.condition(EVIDENCE[known])
    for found, expected in (
        (p.log_evidence, q.log_evidence),
        (p.mean, q.mean),
        (p.covariance(), q.covariance()),
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    for name in ("a", "b"):
        torch.testing.assert_close(p.marginal(name).probs, q.marginal(name).probs, rtol=0, atol=1e-10)
    for found, expected in zip(p.complete(), q.complete(), strict=True):
        assert found == expected if isinstance(found, tuple) else torch.allclose(found, expected, atol=1e-10)


def log_marginal(p, values, known):
    """Log density of the sites that are known: what nobody knows anything of is summed out before the walk."""
    return p.marginal([p.sites[site].name for site in known]).log_prob(values[:, known])


@settings(max_examples=30, derandomize=True, deadline=None)
@given(
    known=st.sets(st.integers(0, 4), min_size=1),
    rows=st.sampled_from([1, 3, 9]),  # fewer than the four points of a place, and more
    order=st.permutations(range(5)),
)
def test_sites_of_which_nothing_is_known_are_summed_out(known, rows, order):
    prior, (values, _) = shaken(3, points=2, factors=2, order=order), table(rows)
    found, expected = (log_marginal(p, values, sorted(known)) for p in (prior(), in_full(prior())))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    ours, theirs = (
        torch.autograd.grad(x.sum(), list(prior.parameters()), materialize_grads=True)
        for x in (found, expected)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("known", [[0], [39], [20], [0, 39], [3, 30]])
def test_gaps_between_known_sites_neither_overflow_nor_vanish(known):
    """Forty sites, transitions of about 1e6 in one place, 1e-6 in the other: single precision holds no six of them."""
    generator = torch.Generator().manual_seed(0)
    sites, large = [Gaussian(f"z{k}", 6) for k in range(40)], torch.tensor([1e6, 1e-6]).double()
    moves, mean, scale, values = (
        torch.randn(shape, generator=generator, device="cpu").to(large)
        for shape in ((39, 2, 3, 3), (40, 6), (40, 6), (9, 40))
    )
    ring = -39 * large.log(), torch.ones(2, 3).to(large), moves.abs() * large[:, None, None]
    results = []
    for dtype in (torch.float32, torch.float64):
        pairs = zip(mean.to(dtype), scale.to(dtype) / 3, strict=True)
        legs = Legs.of(sites, {site.name: pair for site, pair in zip(sites, pairs, strict=True)})
        p = BlockRing(legs, *(part.to(dtype) for part in ring))
        results.append(log_marginal(p, values.to(dtype), known) + p.log_normalizer)
    torch.testing.assert_close(results[0].double(), results[1], rtol=1e-5, atol=1e-3)


def test_gradients_agree_with_the_ring_in_full():
    prior, (values, mask) = shaken(2, factors=2), table(5)
    ours = torch.autograd.grad(prior().log_prob(values, mask).sum(), list(prior.parameters()))
    theirs = torch.autograd.grad(in_full(prior()).log_prob(values, mask).sum(), list(prior.parameters()))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_densities_that_wait_for_their_gradients_keep_what_these_need():
    """Memory is lent again and again: two densities before one way back, and the same way back twice."""
    prior, (values, mask) = shaken(2, factors=2), table(6)
    parameters = list(prior.parameters())
    p = prior()
    halves = p.log_prob(values[:3], mask[:3]).sum() + p.log_prob(values[3:], mask[3:]).sum()
    first = torch.autograd.grad(halves, parameters, retain_graph=True)
    prior().log_prob(values).sum().backward()  # takes what is idle meanwhile
    again = torch.autograd.grad(halves, parameters)
    whole = torch.autograd.grad(prior().log_prob(values, mask).sum(), parameters)
    torch.testing.assert_close(first, whole, rtol=1e-9, atol=1e-9)
    assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))


def test_without_loadings_it_is_the_mixture():
    prior, mixture = shaken(3), GaussianMixturePrior(SITES, 3).double()
    with torch.no_grad():
        prior.loading.zero_()
        for slope in prior.label_loading.values():
            slope.zero_()
    mixture.load_state_dict({name: prior.state_dict()[name] for name in mixture.state_dict()})
    values, mask = table(20)
    torch.testing.assert_close(
        prior().log_prob(values, mask), mixture().log_prob(values, mask), rtol=0, atol=1e-11
    )


@pytest.mark.parametrize(("points", "factors"), [(2, 1), (3, 1), (5, 1), (2, 3), (3, 2)])
def test_covariance_of_a_place_in_closed_form(points, factors):
    """Of every factor `lambda_i lambda_j rho^|i - j|`."""
    sites = [Gaussian(f"z{k}") for k in range(4)]
    prior = shaken(5, sites=sites, components=1, points=points, factors=factors)
    expected = torch.diag(prior.log_sigma.flatten().exp().square())
    for rho, loading in zip(prior.raw_correlation.tanh().squeeze(1), prior.loading.squeeze(2), strict=True):
        for i in range(4):
            for j in range(4):
                expected[i, j] += loading[i] * loading[j] * rho ** abs(i - j)
    # Points are kept in single precision.
    torch.testing.assert_close(prior().covariance(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("points", [2, 3, 5, 9])
def test_points_have_mean_zero_and_variance_one(points):
    t, weight = (x.double() for x in standard_binomial(points))
    moments = [(weight * t**power).sum().item() for power in range(4)]
    assert moments == pytest.approx([1, 0, 1, 0], abs=1e-6)


@pytest.mark.parametrize("points", [2, 3, 5, 9])
@pytest.mark.parametrize("correlation", [-0.5, 0.0, 0.3, 0.999])
def test_the_chain_is_stationary_and_forgets_by_its_correlation(points, correlation):
    moves, (t, weight) = (
        binomial_chain(points, correlation).double(),
        (x.double() for x in standard_binomial(points)),
    )
    torch.testing.assert_close(moves.sum(1), torch.ones_like(t), rtol=0, atol=1e-5)
    torch.testing.assert_close(weight @ moves, weight, rtol=0, atol=1e-6)
    torch.testing.assert_close(moves @ t, correlation * t, rtol=0, atol=1e-5)
    half = binomial_chain(points, 0.5).double()
    torch.testing.assert_close(
        moves @ half, binomial_chain(points, correlation / 2).double(), rtol=0, atol=1e-5
    )


def test_correlations_are_those_of_the_chain():
    prior = FactorRingPrior(SITES, 2, points=4)
    with torch.no_grad():
        prior.raw_correlation.copy_(torch.tensor([[-1.0, 0.4]]))
    for k, c in ((0, 0), (3, 0), (3, 1)):
        rho = prior.raw_correlation[0, c].tanh().item()
        torch.testing.assert_close(prior().transitions[k, c], binomial_chain(4, rho), rtol=0, atol=1e-6)


def test_a_ring_of_blocks_of_one_is_a_mixture():
    mixture = GaussianMixturePrior(SITES, 4, seed=3).double()()
    ones = torch.ones(4, 4, 1, 1).double()
    ring = BlockRing(mixture.legs, mixture.log_weight, ones[0, :, 0], ones)
    values, mask = table(10)
    torch.testing.assert_close(
        ring.log_prob(values, mask), mixture.log_prob(values, mask), rtol=0, atol=1e-11
    )


class TestStarts:
    def test_widths_are_those_asked_for(self):
        """Factors take their share of the width and add none."""
        prior = FactorRingPrior([Gaussian("z0"), Gaussian("z1")], 3, factors=2, width=0.5)
        total = prior.log_sigma.exp().square() + prior.loading.square().sum(0)
        torch.testing.assert_close(total, torch.full_like(total, 0.25))

    def test_means_are_those_of_the_mixture(self):
        ring, mixture = FactorRingPrior(SITES, 4, seed=2), GaussianMixturePrior(SITES, 4, seed=2)
        assert torch.equal(ring.mean, mixture.mean)

    def test_from_clusters_with_the_variances_of_the_mixture(self):
        z = torch.randn(400, 3, generator=torch.Generator().manual_seed(0), device="cpu")
        z[:200] += 3
        z = z.to(torch.zeros(()).device)
        codes = torch.stack([(z[:, 0] > 1.5).long(), (z[:, 1] > 1.5).long()], 1)
        found = []
        for kind in (FactorRingPrior, GaussianMixturePrior):
            prior = kind(SITES, 2)
            initialize_from_clusters(prior, z, codes, torch.ones_like(codes, dtype=torch.bool), seed=1)
            found.append(prior)
        ring, mixture = found
        torch.testing.assert_close(ring.mean, mixture.mean)
        total = ring.log_sigma.exp().square() + ring.loading.square().sum(0)
        torch.testing.assert_close(total, mixture.log_sigma.exp().square(), rtol=1e-4, atol=1e-6)
        assert ring().condition({"z0": 3.0}).marginal("b").probs[1] > 0.9

    def test_from_labels(self):
        prior = FactorRingPrior(SITES, 60, width=0.6)
        initialize_from_labels(prior, spread=1.5)
        p = prior()
        drawn = p.condition({"b": "1"}).sample((500,), seed=1)
        known = torch.tensor([True, False, True, True, False])
        read = p.observe(drawn, known.to(drawn.device)).marginal("b").probs[:, 1]
        assert read.mean() > 0.8


def test_single_precision_where_a_factor_keeps_to_itself_and_sites_disagree():
    """Two points, the first sites for one of them, the last for the other, each by more than single precision holds."""
    sites = [Gaussian(f"z{k}") for k in range(6)]
    prior = FactorRingPrior(sites, 2, points=2)
    with torch.no_grad():
        prior.loading.fill_(1.0)
        prior.log_sigma.fill_(math.log(0.05))
        prior.raw_correlation.fill_(100.0)  # beyond what is allowed
        values = torch.tensor([[1.0, 1.0, 1.0, -1.0, -1.0, -1.0]])
        exact = prior.double()().log_prob(values.double())
        found = prior.float()().log_prob(values)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-3)


def test_evidence_that_no_place_allows():
    prior = shaken(1)
    with torch.no_grad():
        for logits in prior.label_logits.values():
            logits[..., 0] = -torch.inf
    values = torch.zeros(2, 5).double()
    values[1, 1], values[1, 4] = 1, 1
    found = prior().log_prob(values)
    assert found[0] == -torch.inf
    assert torch.isfinite(found[1])


def test_its_words():
    prior = FactorRingPrior(SITES, 7, points=4)
    assert "3 latents, 2 attributes, components=7, factors=1, points=4" in repr(prior)
    assert "BlockRing(z0, a, z1, z2, b" in repr(prior())
