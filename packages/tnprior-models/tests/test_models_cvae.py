"""The conditional VAE against sums over all labels: evidence, bound, gradients, frequencies, errors."""

import itertools

import pytest
import torch
from linear_models import LinearCode, LinearDecoder, PlainNormal
from torch import nn
from torch.distributions import MultivariateNormal

from tnprior_core import Categorical, StandardNormalPrior
from tnprior_core import Gaussian as Latent
from tnprior_models import (
    CVAE,
    BoundsLikelihood,
    DecodesValues,
    Draws,
    EncodesLabelled,
    HasPrior,
    Imputes,
    ModelError,
    Reconstructs,
    Samples,
    Trains,
    abilities,
    importance_bound,
)
from tnprior_models.label_rows import LabelRows
from tnprior_models.local_expectations import expected_log_labels

PIXELS, SIGMA, D = 5, 0.5, 2
SITES = [Latent("z0"), Categorical("a", ("x", "y", "z")), Latent("z1"), Categorical("b", ("0", "1"))]
TABLE = torch.cartesian_prod(torch.arange(3), torch.arange(2))


def tiny(**options):
    """A CVAE whose evidence has a closed form: p(x) is a mixture of six Gaussians, one per pair of labels."""
    g = torch.Generator().manual_seed(3)

    def noise(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    prior = StandardNormalPrior(SITES, rank=3).double()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.8 * noise(*parameter.shape))
    matrix = 0.7 * noise(D + 5, PIXELS)
    w, shifts = matrix.split([D, 5])
    precision = torch.eye(D, dtype=torch.float64) + w @ w.T / SIGMA**2
    solved = 0.95 * torch.linalg.solve(precision, w / SIGMA**2).T
    predictor = nn.Linear(PIXELS, 5).double()
    with torch.no_grad():
        predictor.weight.copy_(0.3 * noise(5, PIXELS))
        predictor.bias.copy_(0.3 * noise(5))
    return CVAE(
        nn.Flatten(),
        predictor,
        LinearCode(torch.cat([solved, -shifts @ solved]), 0.5 * (1.6 / precision.diagonal()).log()),
        LinearDecoder(matrix),
        prior,
        PlainNormal(SIGMA),
        **options,
    ).double()


def images(rows, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 1, 1, PIXELS, generator=g, dtype=torch.float64)


CASES = [((0, 0), (False, False)), ((2, 0), (True, False)), ((0, 1), (False, True)), ((1, 0), (True, True))]


def possible(codes, observed):
    """The pairs of labels that agree with what is observed."""
    fits = (~torch.tensor(observed)) | (torch.tensor(codes) == TABLE)
    return TABLE[fits.all(dim=1)]


def one_hot(cvae, codes):
    return cvae.rows.one_hot(codes).double()


@pytest.mark.parametrize(("codes", "observed"), CASES, ids=str)
def test_importance_bounds_rise_to_the_evidence_summed_over_all_labels(codes, observed):
    cvae, x = tiny(), images(3)
    w, shifts = cvae.decoder.matrix.detach().split([D, 5])
    covariance = w.T @ w + SIGMA**2 * torch.eye(PIXELS, dtype=torch.float64)
    log_p = cvae.prior.labels().log_prob(TABLE.double()).detach()
    parts = []
    for pair in possible(codes, observed):
        component = MultivariateNormal(one_hot(cvae, pair) @ shifts, covariance)
        parts.append(component.log_prob(x.flatten(1)) + log_p[(pair == TABLE).all(dim=1)])
    exact = torch.stack(parts).logsumexp(dim=0)
    table = torch.tensor([codes] * 3), torch.tensor([observed] * 3)
    torch.manual_seed(0)
    with torch.no_grad():
        weights = cvae.log_weights(x, *table, 40_000)
    bounds = [
        importance_bound(weights.unflatten(0, (-1, k)).transpose(0, 1).flatten(1))
        .unflatten(0, (-1, 3))
        .mean(0)
        for k in (1, 5, 25)
    ]
    for lower, higher in itertools.pairwise([*bounds, exact]):
        assert (lower < higher + 0.003).all()
    assert (bounds[0] < exact).all()
    torch.testing.assert_close(importance_bound(weights), exact, rtol=0, atol=0.05)


def exact_bound(cvae, x, codes, observed):
    """The bound of one image, every expectation in closed form: a sum over labels, Gaussian moments over z."""
    features = cvae.trunk(x)
    log_q = cvae.predict(features)[0]
    sites, log_p = cvae.rows.split(log_q), cvae.prior.labels().log_prob(TABLE.double())
    w, shifts = cvae.decoder.matrix.split([D, 5])
    total = torch.zeros((), dtype=torch.float64)
    for pair in possible(codes, observed):
        rows = one_hot(cvae, pair)
        posterior = cvae.posterior(features, rows[None, None])
        mu, sigma = posterior.mean[0, 0], posterior.stddev[0, 0]
        centre = mu @ w + rows @ shifts
        squares = (x.flatten() - centre).square().sum() + (sigma[:, None] * w).square().sum()
        constant = -PIXELS * torch.tensor(SIGMA * (2 * torch.pi) ** 0.5).log()
        kl = 0.5 * (mu.square() + sigma.square() - 1).sum() - sigma.log().sum()
        guessed = sum(site[code] for site, code, seen in zip(sites, pair, observed, strict=True) if not seen)
        joint = -0.5 * squares / SIGMA**2 + constant - kl + log_p[(pair == TABLE).all(dim=1)][0] - guessed
        total = total + (torch.as_tensor(guessed).exp() * joint)
    return total


@pytest.mark.parametrize(("codes", "observed"), CASES, ids=str)
def test_the_loss_is_the_bound_summed_over_all_labels(codes, observed):
    cvae, x = tiny(samples=20_000, attribute_weight=3.0), images(1)
    table = torch.tensor([codes]), torch.tensor([observed])
    torch.manual_seed(1)
    terms = cvae.loss((x, *table))
    exact = exact_bound(cvae, x, codes, observed)
    assert terms["bound"].item() == pytest.approx(exact.item(), abs=0.1)
    log_q = cvae.rows.split(cvae.predict(cvae.trunk(x))[0].detach())
    known = sum(site[code] for site, code, seen in zip(log_q, codes, observed, strict=True) if seen)
    assert terms["log_predicted"].item() == pytest.approx(float(known), abs=1e-9)
    assert terms["loss"].item() == pytest.approx(-terms["bound"].item() - 3 * float(known), abs=1e-9)


@pytest.mark.parametrize(("codes", "observed"), CASES, ids=str)
def test_gradients_of_encoder_decoder_and_prior_have_no_bias(codes, observed):
    cvae, x = tiny(samples=20_000, attribute_weight=0.0), images(1)
    with torch.no_grad():
        cvae.encoder.matrix.mul_(0.6)  # away from the optimum, where gradients are noise around zero
    parts = [*cvae.encoder.parameters(), *cvae.decoder.parameters(), *cvae.prior.parameters()]
    exact = torch.autograd.grad(exact_bound(cvae, x, codes, observed), parts)
    torch.manual_seed(2)
    loss = cvae.loss((x, torch.tensor([codes]), torch.tensor([observed])))["loss"]
    for found, expected in zip(torch.autograd.grad(-loss, parts), exact, strict=True):
        torch.testing.assert_close(found, expected, rtol=0.05, atol=0.4)


def test_the_predictor_of_a_decoder_that_ignores_labels_has_an_exact_gradient():
    """Nothing goes through drawn labels then: what remains is the entropy and E_q[log p(y)]."""
    cvae, x = tiny(samples=20_000, attribute_weight=0.0), images(1)
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


def test_straight_through_gradients_point_where_the_bound_rises():
    """Biased, but not lost: a step of the predictor along them raises the exact bound."""
    cvae, x = tiny(samples=4000, attribute_weight=0.0), images(1)
    nothing = ((0, 0), (False, False))
    parts = list(cvae.predictor.parameters())
    exact = torch.autograd.grad(exact_bound(cvae, x, *nothing), parts)
    torch.manual_seed(2)
    loss = cvae.loss((x, torch.tensor([nothing[0]]), torch.tensor([nothing[1]])))["loss"]
    found = torch.autograd.grad(-loss, parts)
    one, other = (torch.cat([part.flatten() for part in grads]) for grads in (found, exact))
    assert torch.cosine_similarity(one, other, dim=0) > 0.7


def test_expected_log_labels_has_the_gradient_of_the_sum_over_all_labels():
    prior = tiny().prior
    logits = torch.tensor([[0.3, -0.5, 0.9, 1.0, -0.4]], dtype=torch.float64, requires_grad=True)
    rows = LabelRows([SITES[1], SITES[3]])
    log_q = rows.log_probs(logits)
    joint = rows.of_codes(log_q, TABLE).sum(-1).exp()
    sites = [SITES[1], SITES[3]]
    exact = torch.autograd.grad(
        (joint * prior.labels().log_prob(TABLE.double())).sum(), logits, retain_graph=True
    )[0]
    nothing = torch.zeros(1, 2, dtype=torch.bool)
    torch.manual_seed(0)
    drawn = rows.complete(log_q, TABLE[:1], nothing, samples=20_000, temperature=0.5)
    estimate = expected_log_labels(prior.labels(), sites, rows.split(log_q), drawn.codes, ~nothing)
    assert estimate.shape == (20_000, 1)
    found = torch.autograd.grad(estimate.mean(), logits, retain_graph=True)[0]
    torch.testing.assert_close(found, exact, rtol=0, atol=0.01)
    with torch.no_grad():
        plain = expected_log_labels(prior.labels(), sites, rows.split(log_q), drawn.codes, ~nothing)
    assert torch.equal(plain, estimate.detach())
    one = [SITES[3]]
    q = logits[:, 3:].log_softmax(-1)
    labels = prior().marginal(["b"])
    single = expected_log_labels(
        labels, one, [q], torch.zeros(1, 1, 1, dtype=torch.long), nothing[:, :1].logical_not()
    )
    by_hand = (q.exp() * labels.log_prob(torch.tensor([[0.0], [1.0]], dtype=torch.float64))).sum()
    torch.testing.assert_close(
        torch.autograd.grad(single.sum(), logits, retain_graph=True)[0],
        torch.autograd.grad(by_hand, logits)[0],
    )


def test_a_condition_on_some_labels_completes_the_rest_by_their_exact_law():
    cvae = tiny()
    drawn = cvae.sample(20_000, {"b": "1"}, seed=0)
    a = drawn.values[:, 1].long()
    exact = cvae.prior.labels().log_prob(TABLE[TABLE[:, 1] == 1].double()).softmax(0).detach()
    assert (drawn.values[:, 3] == 1).all()
    frequency = torch.bincount(a, minlength=3) / 20_000
    torch.testing.assert_close(frequency.double(), exact, rtol=0, atol=0.015)
    z, codes = drawn.values[:, [0, 2]], torch.stack([a, torch.ones_like(a)], dim=1)
    torch.testing.assert_close(z.mean(0), torch.zeros(2).double(), rtol=0, atol=0.04)
    decoded = cvae.decoder(torch.cat([z, one_hot(cvae, codes)], dim=1))
    torch.testing.assert_close(drawn.x, decoded.detach())


def test_drawn_labels_have_the_predicted_frequencies():
    cvae, rows = tiny(), 4000
    x = images(1).expand(rows, 1, 1, PIXELS)
    codes, observed = torch.tensor([[0, 1]] * rows), torch.tensor([[False, False]] * rows)
    drawn = cvae.draws(x, codes, observed, 3).flatten(0, 1)
    a, b = cvae.impute(x[:1], codes[:1], observed[:1])
    frequency = torch.bincount(drawn[:, 0] * 2 + drawn[:, 1], minlength=6).view(3, 2) / (3 * rows)
    torch.testing.assert_close(frequency.double(), a[0][:, None] * b[0], rtol=0, atol=0.02)


def test_reconstruction_decodes_the_mean_code_at_the_predicted_labels():
    cvae, x = tiny(), images(2)
    features = cvae.trunk(x)
    codes = torch.stack([part.argmax(-1) for part in cvae.rows.split(cvae.predict(features))], dim=1)
    rows = one_hot(cvae, codes)
    mean = cvae.posterior(features, rows[None]).mean[0]
    expected = cvae.decoder(torch.cat([mean, rows], dim=1))
    torch.testing.assert_close(cvae.reconstruct(x), expected.detach())


def test_what_a_cvae_can_do():
    """Neither Encodes nor Decodes: a code means nothing without its labels."""
    able = (DecodesValues, Draws, EncodesLabelled, HasPrior, Imputes, Reconstructs, Samples, Trains)
    protocols = (BoundsLikelihood, *able)
    assert abilities(tiny()) == tuple(protocol.__name__ for protocol in protocols)


def build(prior, predictor=None):
    head = nn.Linear(PIXELS, 5) if predictor is None else predictor
    code = LinearCode(torch.zeros(PIXELS + 5, D), torch.zeros(D))
    return CVAE(
        nn.Flatten(), head, code, LinearDecoder(torch.zeros(D + 5, PIXELS)), prior, PlainNormal(SIGMA)
    )


def test_impossible_priors_and_nets_are_refused():
    with pytest.raises(ModelError, match=r"expected a prior with `sites`.*received Linear"):
        build(nn.Linear(1, 1))
    with pytest.raises(ModelError, match="at least one attribute"):
        build(StandardNormalPrior([SITES[0]]))
    with pytest.raises(ModelError, match="at least one continuous site"):
        build(StandardNormalPrior([SITES[1]]))
    with pytest.raises(ModelError, match=r"logits of shape \(1, 5\).*\['a', 'b'\], received \(1, 4\)"):
        build(StandardNormalPrior(SITES), nn.Linear(PIXELS, 4)).reconstruct(images(1).float())
    with pytest.raises(ModelError, match="positive temperature"):
        tiny(temperature=0.0)
