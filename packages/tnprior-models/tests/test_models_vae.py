"""The VAE: its objective in two forms, its weights, sampling, missing attributes, clear errors."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tnprior_core import (
    Categorical,
    GaussianMixturePrior,
    StandardNormalPrior,
    TensorRingPrior,
    TensorTrainPrior,
    TnpriorError,
)
from tnprior_core import Gaussian as Latent
from tnprior_models import (
    VAE,
    Bernoulli,
    BoundsLikelihood,
    ConvDecoder,
    ConvEncoder,
    Decodes,
    Draws,
    Encodes,
    Gaussian,
    HasPrior,
    Imputes,
    ModelError,
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
@settings(max_examples=15, deadline=None)
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


def test_unlabelled_rows_reduce_to_the_latents_alone():
    vae, (x, codes, _) = make(), batch()
    nothing = torch.zeros_like(codes, dtype=torch.bool)
    torch.manual_seed(2)
    z = vae.encode(x).rsample((2,))
    joint, _ = vae.log_prior(z, codes, nothing)
    alone = vae.prior().marginal([f"z{i}" for i in range(D)]).log_prob(z)
    torch.testing.assert_close(joint, alone, rtol=0, atol=1e-10)


def test_unobserved_slots_may_hold_anything():
    vae, (x, codes, observed) = make(attribute_weight=3.0), batch()
    garbage = torch.where(observed, codes, torch.tensor(-99))
    results = []
    for table in (codes, garbage):
        vae.zero_grad()
        torch.manual_seed(4)
        terms = vae.loss((x, table, observed))
        terms["loss"].backward()
        gradient = torch.cat([p.grad.flatten() for p in vae.parameters() if p.grad is not None])
        results.append((terms["loss"].detach(), gradient, *vae.impute(x, table, observed)))
    for clean, dirty in zip(*results, strict=True):
        assert torch.isfinite(dirty).all()
        torch.testing.assert_close(clean, dirty, rtol=0, atol=0)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("likelihood", [Bernoulli, Gaussian])
def test_gradients_reach_every_parameter(prior, likelihood):
    vae = make(PRIORS[prior](), likelihood(), attribute_weight=2.0)
    vae.loss(batch())["loss"].backward()
    for name, parameter in vae.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_a_sample_is_the_same_whatever_request_it_is_part_of():
    vae = make()
    whole = vae.sample(150, {"digit": "b"}, seed=5)
    for first, n in ((0, 1), (63, 2), (100, 50), (149, 1)):
        part = vae.sample(n, {"digit": "b"}, seed=5, first=first)
        assert torch.equal(part.values, whole.values[first : first + n])
        assert torch.equal(part.x, whole.x[first : first + n])


def test_samples_obey_the_condition_and_report_its_probability():
    vae = make()
    drawn = vae.sample(40, {"digit": "b"}, seed=0)
    assert drawn.x.shape == (40, *SHAPE)
    assert 0 <= drawn.x.min() <= drawn.x.max() <= 1
    assert (drawn.values[:, -1] == 1).all()
    expected = vae.prior().marginal("digit").probs[1].log()
    torch.testing.assert_close(drawn.log_evidence, expected, rtol=0, atol=1e-10)
    free = vae.sample(40, seed=0)
    assert free.log_evidence.item() == pytest.approx(0, abs=1e-10)
    assert len(free.values[:, -1].unique()) > 1


def test_unseeded_samples_follow_torchs_generator():
    vae = make()
    torch.manual_seed(9)
    one = vae.sample(3).x
    two = vae.sample(3).x
    torch.manual_seed(9)
    assert torch.equal(vae.sample(3).x, one)
    assert not torch.equal(one, two)


def test_a_condition_per_row_gives_objects_per_row():
    vae = make()
    drawn = vae.sample(4, {"digit": torch.tensor([2, 0])}, seed=0)
    assert drawn.x.shape == (4, 2, *SHAPE)
    assert drawn.values[..., -1].tolist() == [[2.0, 0.0]] * 4
    assert drawn.log_evidence.shape == (2,)
    torch.testing.assert_close(drawn.x[3, 1], vae.decode(drawn.values[3, 1:, 1:4])[0])


def test_zero_objects_are_an_empty_answer():
    assert make().sample(0, seed=0).x.shape == (0, *SHAPE)


def test_reconstruction_decodes_the_posterior_mean():
    vae, (x, _, _) = make(), batch()
    torch.testing.assert_close(vae.reconstruct(x), vae.decode(vae.encode(x).mean).detach())


def test_queries_leave_parameters_and_gradients_alone():
    vae, (x, codes, observed) = make(), batch()
    before = copy.deepcopy(vae.state_dict())
    vae.sample(3, seed=0)
    vae.impute(x, codes, observed)
    vae.draws(x, codes, observed, 2)
    vae.reconstruct(x)
    assert all(parameter.grad is None for parameter in vae.parameters())
    for name, value in vae.state_dict().items():
        assert torch.equal(value, before[name]), name


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


def test_state_survives_a_round_trip_and_a_copy():
    vae, data = make(), batch()
    other = make(TensorTrainPrior(SITES, rank=3, seed=5))
    other.load_state_dict(vae.state_dict())
    for twin in (other, copy.deepcopy(vae)):
        assert torch.equal(twin.sample(3, seed=1).x, vae.sample(3, seed=1).x)
        for a, b in zip(twin.impute(*data), vae.impute(*data), strict=True):
            assert torch.equal(a, b)


def test_half_precision_nets_keep_the_prior_in_full_precision():
    vae, (x, codes, observed) = make().float(), batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = vae.loss((x.float(), codes, observed))
    assert {value.dtype for value in terms.values()} == {torch.float32}
    torch.manual_seed(0)
    exact = vae.loss((x.float(), codes, observed))
    assert terms["bound"].item() == pytest.approx(exact["bound"].item(), rel=0.1)


def test_a_vae_satisfies_every_protocol():
    protocols = (BoundsLikelihood, Decodes, Draws, Encodes, HasPrior, Imputes, Reconstructs, Samples, Trains)
    assert abilities(make()) == tuple(protocol.__name__ for protocol in protocols)


def test_codes_of_another_size_than_the_prior_are_refused():
    vae = VAE(ConvEncoder(SHAPE, 2, width=4), ConvDecoder(SHAPE, 2, width=4), PRIORS["train"](), Bernoulli())
    with pytest.raises(ModelError, match=r"prior has 3 continuous sites\), received \(6, 2\)"):
        vae.encode(batch()[0].float())


def test_an_attribute_table_of_another_width_is_refused():
    vae, (x, codes, observed) = make(), batch()
    with pytest.raises(ModelError, match=r"one column for each of \['hat', 'digit'\], received \(6, 1\)"):
        vae.loss((x, codes[:, :1], observed[:, :1]))


@pytest.mark.parametrize("bad", [{"attribute_weight": -1.0}, {"kl_weight": -0.1}, {"samples": 0}], ids=str)
def test_impossible_settings_are_refused(bad):
    with pytest.raises(ModelError, match="weights of at least 0"):
        make(**bad)


def test_a_prior_must_name_its_sites_and_have_a_latent():
    with pytest.raises(ModelError, match="with `sites`"):
        make(nn.Linear(2, 2))
    with pytest.raises(ModelError, match="at least one continuous site"):
        make(TensorTrainPrior([Categorical("hat", ("no", "yes"))], rank=1))


def test_unknown_conditions_and_counts_are_refused():
    vae = make()
    with pytest.raises(TnpriorError, match="digit"):
        vae.sample(1, {"digti": "a"})
    with pytest.raises(TnpriorError, match="'z'"):
        vae.sample(1, {"digit": "z"})
    with pytest.raises(ModelError, match="n >= 0"):
        vae.sample(-1)
    with pytest.raises(ModelError, match="k >= 1"):
        vae.log_weights(*batch(), 0)
