"""The VAE: its objective in two forms, its weights, sampling, missing attributes, clear errors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tnprior_core import (
    Categorical,
    FactorRingPrior,
    GaussianMixturePrior,
    StandardNormalPrior,
    TensorRingPrior,
    TensorTrainPrior,
)
from tnprior_core import Gaussian as Latent
from tnprior_models import (
    VAE,
    Bernoulli,
    BoundsLikelihood,
    ConvDecoder,
    ConvEncoder,
    Decodes,
    DecodesValues,
    Draws,
    Encodes,
    HasPrior,
    Imputes,
    ModelError,
    PriorWeights,
    Reconstructs,
    Samples,
    Trains,
    abilities,
)
from tnprior_models.losses import split_bound

SHAPE, D = (1, 9, 8), 3
SITES = [
    Categorical("hat", ("no", "yes")),
    *(Latent(f"z{i}", components=4) for i in range(D)),
    Categorical("digit", ("a", "b", "c")),
]
PRIORS = {
    "train": lambda: TensorTrainPrior(SITES, rank=3),
    "ring": lambda: TensorRingPrior(SITES, rank=3),
    "mixture": lambda: GaussianMixturePrior(SITES, components=5),
    "factor ring": lambda: FactorRingPrior(SITES, components=4, points=3),
}


def make(prior=None, likelihood=None, **options):
    torch.manual_seed(0)
    vae = VAE(
        ConvEncoder(SHAPE, D, width=8, hidden=16),
        ConvDecoder(SHAPE, D, width=8, hidden=16),
        TensorTrainPrior(SITES, rank=3) if prior is None else prior,
        Bernoulli() if likelihood is None else likelihood,
        **options,
    )
    return vae.double()


def batch(rows=6, seed=0, missing=0.5):
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(rows, *SHAPE, generator=g, dtype=torch.float64)
    codes = torch.stack([torch.randint(n, (rows,), generator=g) for n in (2, 3)], dim=1)
    return x, codes, torch.rand(rows, 2, generator=g) >= missing


@pytest.mark.parametrize("prior", PRIORS)
@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), missing=st.floats(0, 1))
def test_both_published_forms_of_the_objective_agree_on_the_same_noise(prior, seed, missing):
    vae, (x, codes, observed) = make(PRIORS[prior]()), batch(seed=seed, missing=missing)
    torch.manual_seed(seed)
    log_weights = vae.log_weights(x, codes, observed, 3)
    torch.manual_seed(seed)
    posterior, p = vae.encode(x), vae.prior()
    z = posterior.rsample((3,))
    blank = torch.full_like(z, torch.nan)
    values = vae.layout.join(blank, codes)[0]
    evidence = vae.layout.mask(z[0], observed) & torch.isfinite(values)
    given_y = p.observe(values, observed=evidence)
    only_z = vae.layout.mask(z, torch.zeros_like(observed))
    two_steps = split_bound(
        vae.log_likelihood(z, x),
        posterior.log_prob(z),
        given_y.log_prob(vae.layout.join(z, codes), observed=only_z),
        given_y.log_evidence,
    )
    assert log_weights.mean().item() == pytest.approx(two_steps["bound"].item(), abs=1e-9)


def test_several_tables_of_labels_are_weighed_by_the_same_samples_decoded_once():
    vae, (x, codes, observed) = make(), batch()
    decoded = []
    vae.decoder.register_forward_hook(lambda *_: decoded.append(1))
    tables = [(codes, observed & False), (codes, observed), (codes.flip(0), observed | True)]
    torch.manual_seed(3)
    together = vae.log_weights_of(x, tables, 5)
    assert (together.shape, len(decoded)) == ((3, 5, len(x)), 1)
    for table, weights in zip(tables, together, strict=True):
        torch.manual_seed(3)
        torch.testing.assert_close(weights, vae.log_weights(x, *table, 5))
    with pytest.raises(ModelError, match="importance samples"):
        vae.log_weights_of(x, tables, 0)


def test_the_loss_is_the_bound_with_the_entropy_in_closed_form():
    vae, (x, codes, observed) = make(samples=4), batch()
    torch.manual_seed(3)
    terms = vae.loss((x, codes, observed))
    torch.manual_seed(3)
    posterior = vae.encode(x)
    log_q = posterior.log_prob(posterior.rsample((4,)))
    torch.manual_seed(3)
    by_weights = vae.log_weights(x, codes, observed, 4)
    expected = (by_weights + log_q).mean() + posterior.entropy().mean()
    assert terms["bound"].item() == pytest.approx(expected.item(), abs=1e-9)
    assert terms["loss"].item() == pytest.approx(-expected.item(), abs=1e-9)


def test_equal_weights_of_one_are_the_exact_bound_and_unequal_ones_split_it():
    exact, data = make(), batch()
    weighted = make(attribute_weight=7.0)
    torch.manual_seed(1)
    bound = exact.loss(data)
    torch.manual_seed(1)
    terms = weighted.loss(data)
    assert terms["bound"].item() == pytest.approx(bound["bound"].item(), abs=1e-9)
    extra = -6 * terms["log_attributes"].item()
    assert terms["loss"].item() == pytest.approx(bound["loss"].item() + extra, abs=1e-9)
    assert terms["log_attributes"].item() < 0


def gradients(weights, data):
    """The gradient of every parameter, and the terms, of one loss on the same noise."""
    vae = make(**weights)
    torch.manual_seed(1)
    terms = vae.loss(data)
    terms["loss"].backward()
    return {name: parameter.grad for name, parameter in vae.named_parameters()}, terms


@settings(max_examples=15)
@given(nets=st.floats(0, 20), own=st.floats(0, 20), kl=st.floats(0.1, 2), missing=st.floats(0, 1))
def test_networks_and_prior_may_weigh_the_attributes_apart(nets, own, kl, missing):
    data = batch(missing=missing)
    weights = {"attribute_weight": nets, "prior_attribute_weight": own, "kl_weight": kl}
    found, terms = gradients(weights, data)
    of_nets, same = gradients({"attribute_weight": nets, "kl_weight": kl}, data)
    of_prior, _ = gradients({"attribute_weight": own, "kl_weight": kl}, data)
    for name, gradient in found.items():
        expected = (of_prior if name.startswith("prior.") else of_nets)[name]
        torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-9)
    assert terms["loss"].item() == pytest.approx(same["loss"].item(), abs=1e-9)
    assert make(**weights).prior_weights() == PriorWeights(kl, own)


def test_the_weight_of_the_attributes_falls_in_training_alone():
    data = batch()

    def loss(model):
        torch.manual_seed(3)
        return model.loss(data)["loss"].item()

    falling = make(attribute_weight=2.0, attribute_lead=16.0, attribute_lead_updates=100)
    (objective,) = falling.objectives()
    assert loss(falling) == pytest.approx(loss(make(attribute_weight=2.0)))
    for step, weight in ((0, 32.0), (50, 8.0), (75, 4.0), (100, 2.0), (1000, 2.0)):
        objective.begin(step)
        assert loss(falling.train()) == pytest.approx(loss(make(attribute_weight=weight)), rel=1e-6)
        assert loss(falling.eval()) == pytest.approx(loss(make(attribute_weight=2.0)))
    assert falling.state_dict().keys() == make().state_dict().keys()
    assert falling.prior_weights() == PriorWeights(1.0, 2.0)


def test_a_lead_below_one_is_refused():
    with pytest.raises(ModelError, match=r"1 or more times its value, received 0\.5"):
        make(attribute_lead=0.5)
    with pytest.raises(ModelError, match="0 updates or more, received -1"):
        make(attribute_lead_updates=-1)


def test_unlabelled_rows_reduce_to_the_latents_alone():
    vae, (x, codes, _) = make(), batch()
    nothing = torch.zeros_like(codes, dtype=torch.bool)
    torch.manual_seed(2)
    z = vae.encode(x).rsample((2,))
    joint, _ = vae.log_prior(z, codes, nothing)
    alone = vae.prior().marginal([f"z{i}" for i in range(D)]).log_prob(z)
    torch.testing.assert_close(joint, alone, rtol=0, atol=1e-10)


def test_a_condition_per_row_gives_objects_per_row():
    vae = make()
    drawn = vae.sample(4, {"digit": torch.tensor([2, 0])}, seed=0)
    assert drawn.x.shape == (4, 2, *SHAPE)
    assert drawn.values[..., -1].tolist() == [[2.0, 0.0]] * 4
    assert drawn.log_evidence.shape == (2,)
    torch.testing.assert_close(drawn.x[3, 1], vae.decode(drawn.values[3, 1:, 1:4])[0])


def test_reconstruction_decodes_the_posterior_mean():
    vae, (x, _, _) = make(), batch()
    torch.testing.assert_close(vae.reconstruct(x), vae.decode(vae.encode(x).mean).detach())


def test_the_prior_gets_its_own_learning_rate_and_frozen_parts_none():
    vae = make(learning_rate=1e-4, prior_learning_rate=0.02)
    (objective,) = vae.objectives()
    rates = {group["name"]: group["lr"] for group in objective.build_optimizer().param_groups}
    assert rates == {"nets": 1e-4, "prior": 0.02}
    assert {id(p) for p in objective.tensors()} == {id(p) for p in vae.parameters()}
    vae.encoder.requires_grad_(False)
    vae.decoder.requires_grad_(False)
    (objective,) = vae.objectives()
    assert {id(p) for p in objective.tensors()} == {id(p) for p in vae.prior.parameters()}


def test_a_prior_without_attributes_or_parameters_is_a_plain_vae():
    sites = [Latent(f"z{i}") for i in range(D)]
    vae = make(StandardNormalPrior(sites))
    x = batch()[0]
    codes, observed = torch.zeros(6, 0, dtype=torch.int64), torch.zeros(6, 0, dtype=torch.bool)
    terms = vae.loss((x, codes, observed))
    terms["loss"].backward()
    assert [group["name"] for group in vae.objectives()[0].parameters] == ["nets"]
    assert vae.impute(x, codes, observed) == []
    assert vae.draws(x, codes, observed, 2).shape == (2, 6, 0)
    posterior = vae.encode(x)
    exact_kl = torch.distributions.kl_divergence(
        posterior.base_dist, torch.distributions.Normal(0.0, 1.0)
    ).sum(dim=-1)
    torch.manual_seed(0)
    z = posterior.rsample((20_000,))
    sampled_kl = posterior.log_prob(z) - vae.log_prior(z, codes, observed)[0]
    torch.testing.assert_close(sampled_kl.mean(dim=0), exact_kl, rtol=0.02, atol=0.02)


def test_a_vae_satisfies_every_protocol():
    protocols = (
        *(BoundsLikelihood, Decodes, DecodesValues, Draws, Encodes, HasPrior),
        *(Imputes, Reconstructs, Samples, Trains),
    )
    assert abilities(make()) == tuple(protocol.__name__ for protocol in protocols)


def test_codes_of_another_size_than_the_prior_are_refused():
    vae = VAE(ConvEncoder(SHAPE, 2, width=4), ConvDecoder(SHAPE, 2, width=4), PRIORS["train"](), Bernoulli())
    with pytest.raises(ModelError, match=r"prior has 3 continuous sites\), received \(6, 2\)"):
        vae.encode(batch()[0].float())


def test_a_prior_must_name_its_sites_and_have_a_latent():
    with pytest.raises(ModelError, match="with `sites`"):
        make(nn.Linear(2, 2))
    with pytest.raises(ModelError, match="at least one continuous site"):
        make(TensorTrainPrior([Categorical("hat", ("no", "yes"))], rank=1))
