"""JMVAE and TELBO against quadrature over a one-dimensional code, closed forms of Gaussians, and a task to learn."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_models import PlainNormal
from torch import nn
from torch.distributions import Independent, Normal, kl_divergence

from tnprior_core import Categorical, ImpossibleEvidenceError, Not, OneOf, TensorTrainPrior, TnpriorError
from tnprior_core import Gaussian as Latent
from tnprior_models import (
    JMVAE,
    TELBO,
    VAE,
    Alignment,
    BoundsLikelihood,
    DecodedPrior,
    Decodes,
    DecodesValues,
    Draws,
    Encodes,
    HasPrior,
    Imputes,
    LabelExperts,
    ModelError,
    MultimodalVAE,
    Polish,
    Reconstructs,
    Samples,
    Trains,
    abilities,
    encode_dataset,
    encoder_divergence,
    frozen_bound,
    importance_bound,
    prior_bound,
    refit_prior,
)

PIXELS, SIGMA = 4, 0.7
SITES = [Categorical("a", ("x", "y", "z")), Latent("z0"), Categorical("b", ("0", "1"))]
GRID = torch.linspace(-9, 9, 6001, dtype=torch.float64)


class Linear(nn.Module):
    """A linear map with fixed numbers, as the decoder of labels or of pixels."""

    def __init__(self, weight, bias, shape=()):
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.shape = shape

    def forward(self, z):
        return (z @ self.weight + self.bias).unflatten(-1, (*self.shape, self.weight.shape[1]))


class ImageCode(nn.Module):
    """A linear mean and a constant width: the exact p(z|x) of a linear decoder."""

    def __init__(self, matrix, log_sigma):
        super().__init__()
        self.matrix, self.log_sigma = nn.Parameter(matrix), nn.Parameter(log_sigma)

    def forward(self, features, rows=None):
        mu = features @ self.matrix
        return mu, self.log_sigma.expand_as(mu)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def prior(label_encoder=None):
    encoder = LabelExperts(5, 1) if label_encoder is None else label_encoder
    return DecodedPrior(SITES, Linear(2 * noise(1, 5, seed=1), noise(5, seed=2)), encoder).double()


def tiny(alignment=None, **options):
    """One latent, so that every integral over it can be done by quadrature; q(z|x) is exact."""
    torch.manual_seed(0)
    weight = noise(1, PIXELS, seed=3)
    precision = 1 + weight.square().sum() / SIGMA**2
    exact = ImageCode(weight.mT / SIGMA**2 / precision, -0.5 * precision.log().view(1))
    return MultimodalVAE(
        nn.Flatten(),
        ImageCode(0.8 * exact.matrix.detach(), exact.log_sigma.detach() + 0.2),
        exact,
        Linear(weight, torch.zeros(PIXELS, dtype=torch.float64), (1, 1)),
        prior(),
        PlainNormal(SIGMA),
        alignment,
        **options,
    ).double()


def images(rows, seed=0):
    return noise(rows, 1, 1, PIXELS, seed=seed)


def by_quadrature(values):
    """The integral of values (G, ...) over the code, times N(z; 0, 1)."""
    density = Normal(0.0, 1.0).log_prob(GRID).exp() * (GRID[1] - GRID[0])
    return torch.einsum("g,g...->...", density, values)


def label_table(prior):
    """p(a, b | z) on the grid, (G, 3, 2)."""
    a, b = prior.rows.split(prior.log_labels(GRID[:, None]).detach().exp())
    return a[:, :, None] * b[:, None, :]


@given(st.lists(st.booleans(), min_size=5, max_size=5), st.integers(0, 9))
@settings(max_examples=25)
def test_experts_multiply_and_a_missing_label_is_an_expert_less(known, seed):
    torch.manual_seed(seed)
    experts = LabelExperts(5, 2).double()
    with torch.no_grad():
        for part in experts.parameters():
            part.mul_(3)
    mean, precision = experts.experts()
    mu, log_sigma = experts(torch.tensor([known], dtype=torch.float64))
    points = noise(4, 2, seed=9)
    product = Normal(0.0, 1.0).log_prob(points) + sum(
        Normal(mean[i], precision[i].rsqrt()).log_prob(points) for i in range(5) if known[i]
    )
    ratio = product - Normal(mu[0], log_sigma[0].exp()).log_prob(points)
    spread = ratio - ratio[:1]
    torch.testing.assert_close(spread, torch.zeros_like(spread), atol=1e-9, rtol=0)
    if not any(known):
        assert torch.equal(mu, torch.zeros_like(mu))
        assert torch.equal(log_sigma, torch.zeros_like(log_sigma))


@pytest.mark.parametrize("off", [0.0, 4.0], ids=["usual q", "q that is far off"])
def test_log_evidence_and_marginals_are_those_of_quadrature(off):
    p = prior()
    with torch.no_grad():
        p.label_encoder.code.head.dense[-1].bias.add_(off)
    joint = by_quadrature(label_table(p))
    cases = [
        ({"a": "y"}, joint[1].sum()),
        ({"b": "1"}, joint[:, 1].sum()),
        ({"a": "z", "b": "0"}, joint[2, 0]),
        ({"a": OneOf("x", "z")}, joint[[0, 2]].sum()),
        ({"a": Not("x"), "b": "1"}, joint[1:, 1].sum()),
    ]
    for evidence, exact in cases:
        found = p().condition(evidence)
        assert found.log_evidence.shape == ()
        assert found.log_evidence.item() == pytest.approx(exact.log().item(), abs=0.05)
    found = p().condition({"b": "1"}).marginal("a").probs
    torch.testing.assert_close(found, joint[:, 1] / joint[:, 1].sum(), rtol=0, atol=0.02)
    torch.testing.assert_close(p().marginal("b").probs, joint.sum(0), rtol=0, atol=0.01)
    both = p().condition({"a": Not("x"), "b": "1"}).marginals()
    torch.testing.assert_close(both["a"].probs[1:], joint[1:, 1] / joint[1:, 1].sum(), rtol=0, atol=0.02)
    assert both["a"].probs[0] == 0
    assert both["b"].probs.tolist() == [0.0, 1.0]


def test_conditions_compose_batch_and_may_contradict_themselves():
    p = prior()
    twice = p().condition({"a": Not("x")}).condition({"a": Not("z")})
    torch.testing.assert_close(twice.log_evidence, p().condition({"a": "y"}).log_evidence)
    rows = p().condition({"a": ["x", None, "z"], "b": ["1", "1", None]})
    assert rows.batch_shape == (3,)
    alone = [{"a": "x", "b": "1"}, {"b": "1"}, {"a": "z"}]
    for row, evidence in zip(rows.log_evidence, alone, strict=True):
        torch.testing.assert_close(row, p().condition(evidence).log_evidence)
    assert rows.marginal("a").probs.shape == (3, 3)
    assert p().condition({"a": [None, None]}).log_evidence.tolist() == [0.0, 0.0]
    never = p().condition({"b": "0"}).condition({"b": "1"})
    assert never.log_evidence.item() == -math.inf
    with pytest.raises(ImpossibleEvidenceError, match="positive probability"):
        never.sample((2,), seed=0)
    with pytest.raises(TnpriorError, match="z0"):
        p().condition({"z0": 1.0})


def test_draws_keep_what_is_given_and_take_the_rest_from_the_code():
    p = prior()
    drawn = p().condition({"a": "z"}).sample((20_000,), seed=3)
    a, z, b = drawn.unbind(-1)
    assert (a == 2).all()
    q = p.given(torch.tensor([[2, 0]]), torch.tensor([[True, False]]))
    assert z.mean().item() == pytest.approx(q.mean.item(), abs=0.03)
    assert z.std().item() == pytest.approx(q.stddev.item(), abs=0.03)
    expected = p.rows.split(p.log_labels(z[:, None]).detach().exp())[1][:, 1]
    assert b.mean().item() == pytest.approx(expected.mean().item(), abs=0.015)
    near = z > z.median()
    assert b[near].mean().item() == pytest.approx(expected[near].mean().item(), abs=0.02)


def test_free_draws_are_the_model_itself():
    p = prior()
    a, z, b = p().sample((20_000,), seed=1).unbind(-1)
    assert z.mean().item() == pytest.approx(0, abs=0.03)
    assert z.std().item() == pytest.approx(1, abs=0.03)
    joint = by_quadrature(label_table(p))
    frequency = torch.bincount((2 * a + b).long(), minlength=6).view(3, 2) / 20_000
    torch.testing.assert_close(frequency.double(), joint, rtol=0, atol=0.015)


def test_of_a_set_one_label_is_drawn_as_frequent_as_under_the_model():
    p = prior()
    a = p().condition({"a": OneOf("x", "z")}).sample((20_000,), seed=0)[:, 0]
    assert set(a.tolist()) == {0.0, 2.0}
    share = by_quadrature(label_table(p)).sum(1)
    assert (a == 2).double().mean().item() == pytest.approx((share[2] / share[[0, 2]].sum()).item(), abs=0.02)


CASES = [((0, 0), (False, False)), ((2, 0), (True, False)), ((1, 1), (True, True))]


@pytest.mark.parametrize(("codes", "observed"), CASES, ids=str)
def test_importance_bounds_rise_to_the_evidence_by_quadrature(codes, observed):
    model, x = tiny(), images(3)
    table = label_table(model.prior)
    pick = [[code] if seen else range(n) for code, seen, n in zip(codes, observed, (3, 2), strict=True)]
    labels = table[:, list(pick[0])][:, :, list(pick[1])].sum((1, 2))
    decoded = GRID[:, None, None] * model.decoder.weight.detach()[None]
    pixels = Normal(decoded, SIGMA).log_prob(x.flatten(1)[None]).sum(-1).exp()
    exact = by_quadrature(labels[:, None] * pixels).log()
    torch.manual_seed(0)
    with torch.no_grad():
        weights = model.log_weights(x, torch.tensor([codes] * 3), torch.tensor([observed] * 3), 20_000)
    bounds = [importance_bound(part).mean() for part in (weights[:1], weights[:50], weights)]
    averaged = weights.mean(0)
    assert (averaged < exact + 0.01).all()
    torch.testing.assert_close(importance_bound(weights), exact, rtol=0, atol=0.02)
    assert bounds[2] >= averaged.mean()


def test_imputation_is_bayes_rule_when_the_encoder_is_exact():
    model, x = tiny(), images(4)
    nothing = torch.zeros(4, 2, dtype=torch.bool)
    decoded = GRID[:, None, None] * model.decoder.weight.detach()[None]
    pixels = Normal(decoded, SIGMA).log_prob(x.flatten(1)[None]).sum(-1).exp()
    joint = by_quadrature(label_table(model.prior)[:, None] * pixels[:, :, None, None])
    joint = joint / joint.sum((1, 2), keepdim=True)
    a, b = model.impute(x, nothing.long(), nothing, points=512)
    torch.testing.assert_close(a, joint.sum(2), rtol=0, atol=5e-3)
    torch.testing.assert_close(b, joint.sum(1), rtol=0, atol=5e-3)
    many = x.repeat(4000, 1, 1, 1), nothing.long().repeat(4000, 1), nothing.repeat(4000, 1)
    drawn = model.draws(*many, 1).view(4000, 4, 2)
    for row in range(4):
        frequency = torch.bincount(drawn[:, row, 0] * 2 + drawn[:, row, 1], minlength=6).view(3, 2) / 4000
        torch.testing.assert_close(frequency.double(), joint[row], rtol=0, atol=0.04)


def test_the_loss_of_jmvae_is_its_formula():
    model, x = tiny(JMVAE(weight=0.3), samples=5000, attribute_weight=7.0, kl_weight=0.5), images(2)
    codes, observed = torch.tensor([[2, 1]] * 2), torch.ones(2, 2, dtype=torch.bool)
    torch.manual_seed(0)
    terms = {name: value.item() for name, value in model.loss((x, codes, observed)).items()}
    joint, image = model.posterior(x, codes, observed), model.encode(x)
    standard = Independent(Normal(torch.zeros(2, 1).double(), torch.ones(2, 1).double()), 1)
    assert terms["kl"] == pytest.approx(kl_divergence(joint, standard).mean().item())
    assert terms["kl_image"] == pytest.approx(kl_divergence(joint, image).mean().item())
    weighted = terms["log_likelihood"] + 7 * terms["log_labels"] - 0.5 * terms["kl"]
    aligned = 0.3 * (terms["kl_image"] + terms["kl_labels"])
    assert terms["loss"] == pytest.approx(-weighted + aligned)
    assert terms["bound"] == pytest.approx(terms["log_likelihood"] + terms["log_labels"] - terms["kl"])


def test_the_divergence_teaches_an_encoder_the_moments_of_all_codes_with_the_label():
    joint = Independent(Normal(noise(50, 1), torch.full((50, 1), 0.3).double()), 1)
    mean, log_sigma = (torch.zeros(1, dtype=torch.float64, requires_grad=True) for _ in range(2))
    optimizer = torch.optim.Adam([mean, log_sigma], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        single = Independent(Normal(mean.expand(50, 1), log_sigma.exp().expand(50, 1)), 1)
        encoder_divergence(joint, single).backward()
        optimizer.step()
    variance = joint.mean.var(correction=0) + 0.3**2
    assert mean.item() == pytest.approx(joint.mean.mean().item(), abs=1e-3)
    assert log_sigma.exp().item() == pytest.approx(variance.sqrt().item(), abs=1e-3)


def test_a_frozen_bound_is_best_at_the_posterior_of_the_weighted_labels():
    """log p(m|z) = -z^2 / 2 counted w times: the posterior is N(0, 1 / (1 + w))."""
    standard = Independent(Normal(torch.zeros(1, 1), torch.ones(1, 1)), 1)
    log_sigma = torch.zeros(1, 1, requires_grad=True)
    optimizer = torch.optim.Adam([log_sigma], lr=0.03)
    torch.manual_seed(0)
    for _ in range(300):
        optimizer.zero_grad()
        q = Independent(Normal(torch.zeros(1, 1), log_sigma.exp()), 1)
        loss, _ = frozen_bound(q, standard, lambda z: -0.5 * z.square().sum(-1), weight=8.0, samples=500)
        (-loss).backward()
        optimizer.step()
    assert log_sigma.exp().item() == pytest.approx(1 / 3, abs=0.02)


@pytest.mark.parametrize("alignment", [JMVAE(), TELBO()], ids=str)
def test_what_is_aligned_moves_encoders_alone(alignment):
    model, data = tiny(alignment, attribute_weight=0.0, kl_weight=0.0), images(6)
    codes, observed = torch.tensor([[2, 1]] * 6), torch.ones(6, 2, dtype=torch.bool)
    torch.manual_seed(0)
    terms = model.loss((data, codes, observed))
    (terms["loss"] + terms["log_likelihood"]).backward()
    moved = {name for name, part in model.named_parameters() if part.grad is not None and part.grad.any()}
    assert {"image_encoder.matrix", "image_encoder.log_sigma"} <= moved
    assert any(name.startswith("prior.label_encoder") for name in moved)
    assert not any(name.startswith(("decoder", "prior.label_decoder")) for name in moved)


def test_every_number_of_labels_teaches_the_label_encoder_alike():
    seen = []

    class Watching(nn.Module):
        def forward(self, rows):
            seen.append(rows.sum(-1))
            return torch.zeros(len(rows), 1).double(), torch.zeros(len(rows), 1).double()

    model = tiny()
    model.prior.label_encoder = Watching()
    codes, observed = torch.zeros(9000, 2, dtype=torch.long), torch.ones(9000, 2, dtype=torch.bool)
    torch.manual_seed(0)
    model.loss((images(1).expand(9000, -1, -1, -1), codes, observed))
    share = torch.bincount(seen[0].long(), minlength=3) / 9000
    torch.testing.assert_close(share, torch.full((3,), 1 / 3), rtol=0, atol=0.02)


def test_what_a_multimodal_vae_can_do():
    protocols = (
        *(BoundsLikelihood, Decodes, DecodesValues, Draws, Encodes, HasPrior),
        *(Imputes, Reconstructs, Samples, Trains),
    )
    assert abilities(tiny()) == tuple(protocol.__name__ for protocol in protocols)
    assert isinstance(TELBO(), Alignment)


def test_other_parts_are_refused():
    with pytest.raises(ModelError, match="at least one attribute"):
        DecodedPrior([Latent("z0")], nn.Flatten(), nn.Flatten())
    with pytest.raises(ModelError, match=r"expected 5 logits .* received 4"):
        DecodedPrior(SITES, nn.Linear(1, 4), LabelExperts(5, 1))().sample((1,), seed=0)
    with pytest.raises(ModelError, match="from the label encoder"):
        DecodedPrior(SITES, nn.Linear(1, 5), LabelExperts(5, 3))().sample((1,), seed=0)
    for make in (JMVAE, TELBO):
        with pytest.raises(ModelError, match="above 0"):
            make(0.0)


def test_its_networks_are_those_of_a_vae_with_any_prior():
    """Reconstructions and codes of the image alone stay bit for bit; the labels are the new prior's business."""
    model, x = tiny(), images(7)
    latents = [Latent(site.name, 3) if isinstance(site, Latent) else site for site in SITES]
    vae = VAE(
        nn.Sequential(model.trunk, model.image_encoder),
        model.decoder,
        TensorTrainPrior(latents, rank=3).double(),
        model.likelihood,
    )
    assert torch.equal(vae.reconstruct(x), model.reconstruct(x))
    assert torch.equal(vae.encode(x).stddev, model.encode(x).stddev)
    z = noise(5, 7, 1, seed=9)
    assert torch.equal(vae.log_likelihood(z, x), model.log_likelihood(z, x))
    codes = torch.arange(7)[:, None] % torch.tensor([3, 2])
    before = prior_bound(vae, encode_dataset(vae, x, codes, codes >= 0))
    refit_prior(vae, x, codes, codes >= 0, initialize=None, polish=Polish(steps=30, learning_rate=0.1))
    assert prior_bound(vae, encode_dataset(vae, x, codes, codes >= 0)) > before + 0.1
    assert torch.equal(vae.reconstruct(x), model.reconstruct(x))
