"""Refitting a prior: when it is due, what it overwrites, and that it helps."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Independent, Normal

from tnprior_core import (
    Categorical,
    FlowPrior,
    GaussianMixturePrior,
    StandardNormalPrior,
    TensorTrainPrior,
    initialize_from_clusters,
)
from tnprior_core import Gaussian as Latent
from tnprior_models import (
    GAN,
    VAE,
    Bernoulli,
    CapabilityError,
    ConvDecoder,
    ConvEncoder,
    DecodedPrior,
    DenseCritic,
    DenseGenerator,
    DenseHead,
    LabelExperts,
    Labelled,
    ModelError,
    Polish,
    PriorWeights,
    RefitSchedule,
    refit_prior,
)
from tnprior_models.encoding import Codes, encode_dataset
from tnprior_models.refit import initialize_without_attributes, polish_prior
from tnprior_models.refit import prior_bound as log_prior_bound

SITES = [*(Latent(f"z{i}", components=4) for i in range(3)), Categorical("kind", ("a", "b", "c"))]


def make(prior=None, **options):
    torch.manual_seed(0)
    return VAE(
        ConvEncoder((1, 8, 8), 3, width=8, hidden=16),
        ConvDecoder((1, 8, 8), 3, width=8, hidden=16),
        TensorTrainPrior(SITES, rank=4) if prior is None else prior,
        Bernoulli(),
        **options,
    )


def data(rows=300):
    g = torch.Generator().manual_seed(1)
    codes = torch.randint(3, (rows, 1), generator=g)
    x = torch.zeros(rows, 1, 8, 8, dtype=torch.uint8)
    for row, kind in enumerate(codes[:, 0].tolist()):
        x[row, 0, :, 2 * kind : 2 * kind + 3] = 255
    noisy = torch.rand(x.shape, generator=g) < 0.05
    return torch.where(noisy, 255 - x, x), codes, torch.rand(rows, 1, generator=g) > 0.3


@given(first=st.integers(0, 8), every=st.integers(0, 6), last=st.none() | st.integers(0, 30))
def test_schedule_counts_completed_epochs(first, every, last):
    due = [epoch for epoch in range(40) if RefitSchedule(first, every, last).due(epoch)]
    expected = range(first, 40, every) if every else [first]
    assert due == [epoch for epoch in expected if last is None or epoch <= last]


@pytest.mark.parametrize("bad", [(-1, 5, None), (1, -1, None), (1, 5, -2)], ids=str)
def test_negative_epochs_are_refused(bad):
    with pytest.raises(ModelError, match="epochs of at least 0"):
        RefitSchedule(*bad)


@pytest.mark.parametrize(
    "bad", [{"steps": -1}, {"learning_rate": 0.0}, {"batch_size": 0}, {"attribute_weight": -1.0}], ids=str
)
def test_impossible_polish_is_refused(bad):
    with pytest.raises(ModelError, match="steps >= 0"):
        Polish(**bad)


def prior_bound(model, table):
    torch.manual_seed(0)
    with torch.no_grad():
        encoded = encode_dataset(model, *table, limit=None)
        z = encoded.draw(torch.Generator().manual_seed(7))
        return model.log_prior(z[None], encoded.codes, encoded.observed)[0].mean().item()


@pytest.mark.parametrize("initialize", [initialize_from_clusters, initialize_without_attributes])
def test_a_refit_raises_the_bound_and_names_what_it_overwrote(initialize):
    model, table = make(), data()
    nets = {name: p.clone() for name, p in model.named_parameters() if not name.startswith("prior.")}
    before = prior_bound(model, table)
    changed = refit_prior(model, *table, polish=Polish(steps=60, batch_size=128), initialize=initialize)
    assert {id(p) for p in changed} == {id(p) for p in model.prior.parameters()}
    assert prior_bound(model, table) > before + 0.5
    for name, parameter in model.named_parameters():
        if name in nets:
            assert torch.equal(parameter, nets[name]), name
        assert parameter.grad is None, name


def test_polish_alone_raises_the_bound_further():
    model, table = make(), data()
    refit_prior(model, *table, polish=Polish(steps=0))
    before = prior_bound(model, table)
    polish_prior(model, encode_dataset(model, *table), Polish(steps=150, batch_size=128))
    assert prior_bound(model, table) > before


def test_polish_follows_the_models_own_weights():
    g = torch.Generator().manual_seed(2)
    codes = torch.randint(3, (2000, 1), generator=g)
    mu = torch.randn(2000, 3, generator=g)
    mu[:, 2] += 0.8 * codes[:, 0]
    encoded = Codes(mu, torch.full_like(mu, 0.1), codes, torch.ones_like(codes, dtype=torch.bool))
    certainty = []
    for model in (make(attribute_weight=0.0), make(), make(attribute_weight=30.0)):
        polish_prior(model, encoded, Polish(steps=60, batch_size=256))
        joint, _ = model.log_prior(mu[None], codes, encoded.observed)
        alone, _ = model.log_prior(mu[None], codes, torch.zeros_like(encoded.observed))
        certainty.append((joint - alone).mean().item())
    assert certainty[0] < certainty[1] < certainty[2]


def test_a_prior_of_another_kind_is_polished_only():
    model, table = make(FlowPrior(TensorTrainPrior(SITES, rank=4), layers=2, hidden=8)), data()
    with pytest.raises(ModelError, match="received FlowPrior; pass initialize=None"):
        refit_prior(model, *table)
    before = prior_bound(model, table)
    refit_prior(model, *table, initialize=None, polish=Polish(steps=60, batch_size=128))
    assert prior_bound(model, table) > before


def test_a_mixture_starts_from_clusters_too():
    model, table = make(GaussianMixturePrior(SITES, components=5)), data()
    before = prior_bound(model, table)
    refit_prior(model, *table, polish=Polish(steps=0))
    assert prior_bound(model, table) > before


def test_a_refit_depends_on_its_seed_alone_and_leaves_the_global_generator():
    table, results = data(), []
    for noise in (1, 2):
        model = make()
        torch.manual_seed(noise)
        state = torch.get_rng_state()
        refit_prior(model, *table, polish=Polish(steps=5), seed=3)
        assert torch.equal(torch.get_rng_state(), state)
        results.append(torch.cat([p.detach().flatten() for p in model.prior.parameters()]))
    assert torch.equal(*results)


def test_encoding_takes_a_seeded_choice_and_bytes_or_floats_alike():
    model, (x, codes, observed) = make(), data()
    some = encode_dataset(model, x, codes, observed, limit=50, seed=2)
    floats = encode_dataset(model, x.float() / 255, codes, observed, limit=50, seed=2)
    assert some.mu.shape == some.sigma.shape == (50, 3)
    torch.testing.assert_close(some.mu, floats.mu)
    assert torch.equal(some.codes, floats.codes)
    everything = encode_dataset(model, x, codes, observed, limit=None)
    assert everything.mu.shape[0] == 300
    assert not some.mu.requires_grad


def test_data_that_cannot_be_encoded_and_priors_that_cannot_be_fitted_are_refused():
    model, (x, codes, observed) = make(), data()
    with pytest.raises(ModelError, match="received 300 images, 2 rows of codes"):
        refit_prior(model, x, codes[:2], observed)
    with pytest.raises(ModelError, match="at least one image"):
        refit_prior(model, x[:0], codes[:0], observed[:0])
    bare = make(StandardNormalPrior([Latent(f"z{i}") for i in range(3)]))
    with pytest.raises(ModelError, match="trainable parameters, received StandardNormalPrior"):
        refit_prior(bare, x, codes[:, :0], observed[:, :0])


def test_the_weight_of_labels_decides_what_a_polish_fits():
    """More of it fits p(y|z) better and p(z) worse; none leaves the labels out."""
    x, codes, observed = data()
    found = []
    for weight in (0.0, 100.0):
        model = make(attribute_weight=7.0)
        encoded = encode_dataset(model, x, codes, observed)
        polish_prior(model, encoded, Polish(80, 3e-2, attribute_weight=weight))
        with torch.no_grad():
            z = encoded.draw(torch.Generator().manual_seed(3))
            joint, latent = model.log_joint_and_latent(z, encoded.codes, encoded.observed)
        found.append((latent.mean().item(), (joint - latent).mean().item()))
    (latent_without, labels_without), (latent_with, labels_with) = found
    assert latent_without > latent_with
    assert labels_with > labels_without


def test_a_polish_ends_where_held_out_codes_fit_best():
    """Five codes are soon learned by heart: what is reported last is then not the best, and not what is kept."""
    model, (x, codes, observed) = make(), data()
    few = encode_dataset(model, x[:5], codes[:5], observed[:5])
    held = encode_dataset(model, x[5:], codes[5:], observed[5:])
    reported = []
    polish_prior(model, few, Polish(600, 5e-2, batch_size=64), held=held, progress=reported.append)
    losses = [fitted.held for fitted in reported]
    assert [fitted.step for fitted in reported] == [0, 100, 200, 300, 400, 500, 600]
    assert min(losses) < losses[-1]
    again = []
    polish_prior(model, few, Polish(0), held=held, progress=again.append)
    assert again[0].held == min(losses)


def test_to_hold_codes_out_changes_nothing_where_the_end_is_best():
    reported, states, table = [], [], data()
    for holds in (False, True):
        model = make()
        encoded = encode_dataset(model, *table)
        held = encoded if holds else None
        polish_prior(model, encoded, Polish(120), held=held, progress=reported.append)
        states.append(model.prior.state_dict())
    without, within = [[fitted.held for fitted in part] for part in (reported[:3], reported[3:])]
    assert without == [None, None, None]
    assert min(within) == within[-1] < within[0]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


class Mine:
    """A model of a user's own: no VAE, no decoder, not even a module; a code, and a prior."""

    def __init__(self, prior):
        self.prior = prior

    def encode(self, x):
        thirds = x.flatten(1).unflatten(1, (8, 8)).mean(1)[:, 1:7:2]
        return Independent(Normal(4 * thirds, torch.full_like(thirds, 0.1)), 1)


class Weighed(Mine):
    """The same with weights of its own."""

    def prior_weights(self):
        return PriorWeights(latent=1.0, attributes=100.0)


class Told(Mine):
    """The same with codes that need their labels; those that are missing become the label b."""

    def encode_labelled(self, x, codes, observed, *, seed=0, first_row=0):
        completed = torch.where(observed, codes, torch.ones_like(codes))
        shifted = self.encode(x).mean + completed
        return Labelled(Independent(Normal(shifted, torch.full_like(shifted, 0.1)), 1), completed)


def test_any_class_with_an_encoder_and_a_prior_is_fitted():
    table = data()
    for kind in (Mine, Told):
        model = kind(TensorTrainPrior(SITES, rank=4))
        codes = encode_dataset(model, *table, limit=None)
        before = log_prior_bound(model, codes)
        changed = refit_prior(model, *table, polish=Polish(steps=60, batch_size=128))
        assert {id(p) for p in changed} == {id(p) for p in model.prior.parameters()}
        assert log_prior_bound(model, codes) > before + 0.5


def test_codes_that_need_labels_are_of_completed_tables():
    model, (x, codes, observed) = Told(TensorTrainPrior(SITES, rank=4)), data()
    plain = encode_dataset(Mine(model.prior), x, codes, observed, limit=100, seed=5)
    told = encode_dataset(model, x, codes, observed, limit=100, seed=5)
    completed = torch.where(plain.observed, plain.codes, torch.ones_like(plain.codes))
    assert torch.equal(told.codes, completed)
    assert told.observed.all()
    torch.testing.assert_close(told.mu, plain.mu + completed)


def test_weights_are_the_models_where_it_says_them_and_else_those_of_the_bound():
    found = []
    for kind in (Mine, Weighed):
        model = kind(TensorTrainPrior(SITES, rank=4, seed=3))
        encoded = encode_dataset(model, *data(), limit=None)
        polish_prior(model, encoded, Polish(steps=40, batch_size=128))
        again = kind(TensorTrainPrior(SITES, rank=4, seed=3))
        weight = 1.0 if kind is Mine else 100.0
        polish_prior(again, encoded, Polish(steps=40, batch_size=128, attribute_weight=weight))
        found.append(torch.cat([p.detach().flatten() for p in model.prior.parameters()]))
        assert torch.equal(found[-1], torch.cat([p.detach().flatten() for p in again.prior.parameters()]))
    assert not torch.equal(*found)


def test_what_has_no_encoder_or_no_density_is_refused_by_name():
    table = data()
    gan = GAN(DenseGenerator(3, 2), DenseCritic(2, labels=3), TensorTrainPrior(SITES, rank=2))
    with pytest.raises(CapabilityError, match=r"satisfies Encodes \(encode\), received GAN"):
        refit_prior(gan, *table)
    read_off = DecodedPrior(SITES, DenseHead(3, 3), LabelExperts(3, latent_size=3))
    with pytest.raises(ModelError, match="a density of codes and labels, received DecodedPrior"):
        refit_prior(Mine(read_off), *table, initialize=None)
