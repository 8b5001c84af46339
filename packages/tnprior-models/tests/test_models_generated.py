"""Labels read off generated objects, and a prior fitted to their codes: closed forms, seeds, what is refused."""

import math

import pytest
import torch
from torch import nn

from tnprior_core import Categorical, Gaussian, StandardNormalPrior, TensorRingPrior, TensorTrainPrior
from tnprior_models import (
    CapabilityError,
    ImplicitModel,
    ModelError,
    Polish,
    abilities,
    fit_prior,
    prior_bound,
    read_generated,
)

LATENTS = [Gaussian("z0", components=6), Gaussian("z1", components=6)]
SITES = [*LATENTS, Categorical("right", ("no", "yes")), Categorical("shade", ("a", "b", "c"))]


class Squash(nn.Module):
    """An object is its code, in (0, 1)."""

    def forward(self, z):
        return z.sigmoid()


def read(x):
    """Right of the middle or not, and in which third of the other side."""
    return torch.stack([(x[:, 0] > 0.5).long(), (3 * x[:, 1]).long().clamp(max=2)], 1)


def model(prior=None):
    return ImplicitModel(Squash(), StandardNormalPrior(LATENTS) if prior is None else prior)


def test_codes_are_the_models_and_labels_the_classifiers():
    codes = read_generated(model(), read, 4000, seed=3)
    drawn = model().sample(4000, seed=3)
    assert torch.equal(codes.mu, drawn.values)
    assert not codes.sigma.any()
    assert codes.observed.all()
    assert torch.equal(codes.codes, read(drawn.x))


def test_a_seed_repeats_them_and_the_global_generator_is_left_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, two, other = (read_generated(model(), read, 600, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.mu, two.mu)
    assert torch.equal(one.codes, two.codes)
    assert not torch.equal(one.mu, other.mu)
    assert not torch.equal(one.codes, other.codes)


@pytest.mark.parametrize("interleaved", [False, True])
def test_latents_are_taken_in_the_order_in_which_the_generator_takes_them(interleaved):
    """Where the model's own prior has attributes among its latents they are left out, and its labels not used."""
    sites = [LATENTS[0], SITES[2], LATENTS[1]] if interleaved else [*LATENTS, SITES[2]]
    codes = read_generated(model(TensorRingPrior(sites, rank=2, seed=1)), read, 100)
    assert codes.mu.shape == (100, 2)
    assert torch.equal(codes.codes[:, 0], (codes.mu[:, 0] > 0).long())


@pytest.mark.parametrize("prior", [TensorTrainPrior, TensorRingPrior])
def test_a_prior_fitted_to_them_is_the_models_own_given_each_label(prior):
    """p(z | right) of N(0, I) is a half-normal: mean sqrt(2/pi), variance 1 - 2/pi; the other latent is as it was."""
    codes = read_generated(model(), read, 20_000, seed=1)
    fitted = model(prior(SITES, rank=6))
    held = codes.rows(slice(18_000, None))
    changed = fit_prior(
        fitted, codes.rows(slice(18_000)), polish=Polish(300, 2e-2, batch_size=512), held=held, seed=2
    )
    assert {id(p) for p in changed} == {id(p) for p in fitted.prior.parameters()}
    p = fitted.prior()
    half = p.condition({"right": "yes"})
    assert half.log_evidence.item() == pytest.approx(math.log(0.5), abs=0.03)
    assert half.mean[0].item() == pytest.approx(math.sqrt(2 / math.pi), abs=0.04)
    assert half.covariance()[0, 0].item() == pytest.approx(1 - 2 / math.pi, abs=0.04)
    assert half.mean[1].item() == pytest.approx(0, abs=0.05)
    # Both labels are in the code: the entropy is that of N(0, I), as far as a network with soft edges can say it.
    entropy = math.log(2 * math.pi * math.e)
    assert -entropy - 0.5 < prior_bound(fitted, held) < -entropy + 0.08
    made = fitted.sample(500, {"right": "yes"}, seed=0)
    assert (made.x[:, 0] > 0.5).float().mean() > 0.97


def test_what_it_needs_is_said():
    with pytest.raises(CapabilityError, match="Samples"):
        read_generated(Squash(), read, 5)
    with pytest.raises(ModelError, match="at least one object, received n=0"):
        read_generated(model(), read, 0)
    for wrong in (lambda x: x, lambda x: x[:, :0].long(), lambda x: x[:3].long(), lambda x: x[:, 0].long()):
        with pytest.raises(ModelError, match=r"integer codes \(5, A\) of at least one attribute, received"):
            read_generated(model(), wrong, 5)


def test_an_implicit_model_makes_objects_and_nothing_else():
    assert abilities(model()) == ("Decodes", "DecodesValues", "HasPrior", "Samples")
