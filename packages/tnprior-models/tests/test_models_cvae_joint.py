"""The conditional VAE under a prior that joins codes and labels: evidence, bound and gradients by quadrature."""

import itertools

import pytest
import torch
from linear_models import LinearCode, LinearDecoder, PlainNormal
from torch import nn
from torch.distributions import Normal

from tnprior_core import (
    Categorical,
    FactorRingPrior,
    GaussianMixturePrior,
    StandardNormalPrior,
    TensorRingPrior,
    TensorTrainPrior,
)
from tnprior_core import Gaussian as Latent
from tnprior_models import CVAE, Polish, encode_dataset, importance_bound, prior_bound, refit_prior

PIXELS, SIGMA, D = 4, 0.6, 2
SITES = [Latent("z0", 3), Categorical("a", ("x", "y", "z")), Latent("z1", 3), Categorical("b", ("0", "1"))]
TABLE = torch.cartesian_prod(torch.arange(3), torch.arange(2))
CASES = [((0, 0), (False, False)), ((2, 0), (True, False)), ((1, 0), (True, True))]
GRID = torch.linspace(-6, 6, 241, dtype=torch.float64)
PLANE = torch.cartesian_prod(GRID, GRID)
STEP = float(GRID[1] - GRID[0]) ** 2
HERMITE = 30

PRIORS = {
    "train": lambda: TensorTrainPrior(SITES, rank=3, seed=1),
    "ring": lambda: TensorRingPrior(SITES, rank=3, seed=1),
    "mixture": lambda: GaussianMixturePrior(SITES, components=4, seed=1),
    "factor ring": lambda: FactorRingPrior(SITES, components=3, points=2, seed=1),
}


def tiny(prior, **options):
    g = torch.Generator().manual_seed(3)

    def noise(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    prior = prior.double()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.5 * noise(*parameter.shape))
    predictor = nn.Linear(PIXELS, 5).double()
    with torch.no_grad():
        predictor.weight.copy_(0.3 * noise(5, PIXELS))
        predictor.bias.copy_(0.3 * noise(5))
    matrix = 0.7 * noise(D + 5, PIXELS)
    w, shifts = matrix.split([D, 5])
    precision = torch.eye(D, dtype=torch.float64) + w @ w.T / SIGMA**2
    solved = 0.8 * torch.linalg.solve(precision, w / SIGMA**2).T
    code = LinearCode(torch.cat([solved, -shifts @ solved]), 0.5 * (3 / precision.diagonal()).log())
    return CVAE(
        nn.Flatten(), predictor, code, LinearDecoder(matrix), prior, PlainNormal(SIGMA), **options
    ).double()


@pytest.fixture(params=PRIORS)
def prior(request):
    return PRIORS[request.param]()


def images(rows, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 1, 1, PIXELS, generator=g, dtype=torch.float64)


def possible(codes, observed):
    """The pairs of labels that agree with what is observed."""
    return TABLE[((~torch.tensor(observed)) | (torch.tensor(codes) == TABLE)).all(dim=1)]


def one_hot(cvae, codes):
    return cvae.rows.one_hot(codes).double()


def log_prior(cvae, z, pair):
    """log p(z, y) by the prior's own density, values in the order of its sites."""
    values = torch.stack([z[:, 0], pair[0].expand(len(z)), z[:, 1], pair[1].expand(len(z))], dim=1)
    return cvae.prior().log_prob(values.double())


def log_pixels(cvae, z, pair, x):
    inputs = torch.cat([z, one_hot(cvae, pair).expand(len(z), -1)], dim=1)
    return Normal(cvae.decoder(inputs), SIGMA).log_prob(x).flatten(1).sum(1)


@torch.no_grad()
def exact_evidence(cvae, x, codes, observed):
    """log p(x, y_ob): a sum over labels of integrals over the plane of codes."""
    parts = [
        (log_prior(cvae, PLANE, pair) + log_pixels(cvae, PLANE, pair, x)).logsumexp(0)
        for pair in possible(codes, observed)
    ]
    return torch.stack(parts).logsumexp(0) + torch.tensor(STEP).log()


@pytest.mark.parametrize(("codes", "observed"), CASES, ids=str)
def test_importance_bounds_rise_to_the_evidence_integrated_over_codes_and_labels(prior, codes, observed):
    cvae, x = tiny(prior), images(2)
    exact = torch.stack([exact_evidence(cvae, image, codes, observed) for image in x])
    table = torch.tensor([codes] * 2), torch.tensor([observed] * 2)
    torch.manual_seed(0)
    with torch.no_grad():
        weights = cvae.log_weights(x, *table, 40_000)
    bounds = [
        importance_bound(weights.unflatten(0, (-1, k)).transpose(0, 1).flatten(1))
        .unflatten(0, (-1, 2))
        .mean(0)
        for k in (1, 5, 25)
    ]
    for lower, higher in itertools.pairwise([*bounds, exact]):
        assert (lower < higher + 0.01).all()
    assert (bounds[0] < exact).all()
    torch.testing.assert_close(importance_bound(weights), exact, rtol=0, atol=0.1)


def hermite():
    """Nodes (H^2, D) and weights of the standard normal on the plane."""
    import numpy

    nodes, weights = (torch.tensor(part) for part in numpy.polynomial.hermite_e.hermegauss(HERMITE))
    weights = weights / weights.sum()
    return torch.cartesian_prod(nodes, nodes), torch.cartesian_prod(weights, weights).prod(dim=1)


def exact_bound(cvae, x, codes, observed):
    """The bound of one image: a sum over the labels, quadrature over q(z|x, y), differentiable."""
    features = cvae.trunk(x)
    log_q = cvae.rows.split(cvae.predict(features)[0])
    nodes, weights = hermite()
    total = torch.zeros((), dtype=torch.float64)
    for pair in possible(codes, observed):
        posterior = cvae.posterior(features, one_hot(cvae, pair)[None, None])
        z = posterior.mean[0, 0] + posterior.stddev[0, 0] * nodes
        inside = log_pixels(cvae, z, pair, x) + log_prior(cvae, z, pair)
        joint = (weights * inside).sum() + posterior.entropy()[0, 0]
        guessed = sum(part[code] for part, code, seen in zip(log_q, pair, observed, strict=True) if not seen)
        total = total + torch.as_tensor(guessed).exp() * (joint - guessed)
    return total


@pytest.mark.parametrize(("codes", "observed"), CASES, ids=str)
def test_the_loss_is_the_bound_integrated_over_codes_and_labels(prior, codes, observed):
    cvae, x = tiny(prior, samples=200_000, attribute_weight=3.0, kl_weight=0.5), images(1)
    table = torch.tensor([codes]), torch.tensor([observed])
    torch.manual_seed(1)
    with torch.no_grad():
        terms = cvae.loss((x, *table))
        assert terms["bound"].item() == pytest.approx(
            exact_bound(cvae, x, *(codes, observed)).item(), abs=0.1
        )
    weighted = terms["bound"] + 0.5 * terms["kl"] + 3 * terms["log_predicted"]
    assert terms["loss"].item() == pytest.approx(-weighted.item(), abs=1e-9)


@pytest.mark.parametrize(("codes", "observed"), CASES, ids=str)
def test_gradients_of_encoder_decoder_and_prior_have_no_bias(prior, codes, observed):
    cvae, x = tiny(prior, samples=20_000, attribute_weight=0.0), images(1)
    parts = [*cvae.encoder.parameters(), *cvae.decoder.parameters(), *cvae.prior.parameters()]
    exact = torch.autograd.grad(exact_bound(cvae, x, codes, observed), parts)
    torch.manual_seed(2)
    loss = cvae.loss((x, torch.tensor([codes]), torch.tensor([observed])))["loss"]
    for found, expected in zip(torch.autograd.grad(-loss, parts), exact, strict=True):
        torch.testing.assert_close(found, expected, rtol=0.05, atol=0.5)


def test_the_predictors_gradient_is_exact_where_nothing_goes_through_drawn_labels(prior):
    """The prior alone then says how labels and code belong together; the sum over labels is the exact one."""
    cvae, x = tiny(prior, samples=20_000, attribute_weight=0.0), images(1)
    with torch.no_grad():
        cvae.decoder.matrix[D:].zero_()
        cvae.encoder.matrix[PIXELS:].zero_()
    nothing = ((0, 0), (False, False))
    parts = list(cvae.predictor.parameters())
    exact = torch.autograd.grad(exact_bound(cvae, x, *nothing), parts)
    torch.manual_seed(2)
    loss = cvae.loss((x, torch.tensor([nothing[0]]), torch.tensor([nothing[1]])))["loss"]
    for found, expected in zip(torch.autograd.grad(-loss, parts), exact, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0.03)
    assert max(part.abs().max() for part in exact) > 0.1


def test_a_joint_prior_of_the_same_law_gives_the_same_numbers():
    """One standard normal component with equal labels is N(0, I) with equal labels."""
    same = GaussianMixturePrior(SITES, components=1)
    with torch.no_grad():
        for parameter in same.parameters():
            parameter.zero_()
    apart, x = tiny(StandardNormalPrior(SITES)), images(5)
    with torch.no_grad():
        for parameter in apart.prior.parameters():
            parameter.zero_()
    joined = CVAE(apart.trunk, apart.predictor, apart.encoder, apart.decoder, same.double(), apart.likelihood)
    table = torch.zeros(5, 2).long(), torch.tensor([[True, False]] * 5)
    found, losses = [], []
    for cvae in (apart, joined):
        torch.manual_seed(0)
        found.append(cvae.log_weights(x, *table, 3))
        cvae.samples = 5000
        losses.append(cvae.loss((x, *table)))
    torch.testing.assert_close(*found)
    for name in ("log_likelihood", "log_labels", "kl", "bound"):
        assert losses[0][name].item() == pytest.approx(losses[1][name].item(), abs=0.05), name


def test_a_condition_draws_code_and_labels_from_the_joint_prior_and_decodes_both(prior):
    cvae = tiny(prior)
    drawn = cvae.sample(20_000, {"b": "1"}, seed=0)
    p = cvae.prior()
    torch.testing.assert_close(drawn.log_evidence, p.marginal("b").probs[1].log())
    assert (drawn.values[:, 3] == 1).all()
    z, a = drawn.values[:, [0, 2]], drawn.values[:, 1].long()
    for code in range(3):
        given = p.condition({"a": SITES[1].labels[code], "b": "1"})
        mine = a == code
        share = (given.log_evidence - drawn.log_evidence).exp().item()
        assert mine.double().mean().item() == pytest.approx(share, abs=0.015)
        torch.testing.assert_close(z[mine].mean(0), given.mean.detach(), rtol=0, atol=0.1)
    rows = one_hot(cvae, torch.stack([a, torch.ones_like(a)], dim=1))
    torch.testing.assert_close(drawn.x, cvae.decoder(torch.cat([z, rows], dim=1)).detach())


def test_a_table_is_completed_by_draws_of_the_predictor_and_encoded_with_its_labels(prior):
    cvae, rows = tiny(prior), 3000
    x = images(1).expand(rows, 1, 1, PIXELS)
    codes, observed = torch.tensor([[0, 1]] * rows), torch.tensor([[False, True]] * rows)
    found = cvae.encode_labelled(x, codes, observed, seed=4)
    assert (found.codes[:, 1] == 1).all()
    frequency = torch.bincount(found.codes[:, 0], minlength=3) / rows
    (a, _) = cvae.impute(x[:1], codes[:1], observed[:1])
    torch.testing.assert_close(frequency.double(), a[0], rtol=0, atol=0.03)
    expected = cvae.posterior(cvae.trunk(x), one_hot(cvae, found.codes)[None])
    torch.testing.assert_close(found.posterior.mean, expected.mean[0])
    torch.testing.assert_close(found.posterior.stddev, expected.stddev[0])
    later = cvae.encode_labelled(x[7:], codes[7:], observed[7:], seed=4, first_row=7)
    assert torch.equal(later.codes, found.codes[7:])


@torch.no_grad()
def world(rows):
    """Objects, labels and a mask whose codes go with their labels."""
    g = torch.Generator().manual_seed(8)
    codes = TABLE[torch.randint(6, (rows,), generator=g)]
    centres = torch.randn(6, PIXELS, generator=g, dtype=torch.float64)
    x = centres[codes[:, 0] * 2 + codes[:, 1]] + 0.3 * torch.randn(
        rows, PIXELS, generator=g, dtype=torch.float64
    )
    return x.view(-1, 1, 1, PIXELS), codes, torch.rand(rows, 2, generator=g) > 0.3


def test_a_prior_is_fitted_to_the_codes_and_labels_of_networks_that_stay(prior):
    cvae, apart, everything = tiny(prior), tiny(StandardNormalPrior(SITES)), world(900)
    for model in (cvae, apart):
        with torch.no_grad():
            model.encoder.matrix.zero_().fill_diagonal_(1.0)
            model.encoder.log_sigma.fill_(-2.0)
    data, held = ([part[rows] for part in everything] for rows in (slice(600), slice(600, None)))
    before = {name: p.clone() for name, p in cvae.named_parameters() if not name.startswith("prior.")}
    codes = encode_dataset(cvae, *held, limit=None, seed=1)
    assert codes.observed.all()
    start = max(prior_bound(cvae, codes), prior_bound(apart, codes))
    changed = refit_prior(cvae, *data, polish=Polish(steps=150, learning_rate=3e-2, batch_size=128))
    assert {id(p) for p in changed} == {id(p) for p in cvae.prior.parameters()}
    assert prior_bound(cvae, codes) > start + 0.5
    for name, parameter in cvae.named_parameters():
        assert name.startswith("prior.") or torch.equal(parameter, before[name]), name
    again = encode_dataset(cvae, *held, limit=None, seed=1)
    assert torch.equal(codes.codes, again.codes)
