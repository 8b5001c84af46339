"""The start from labels: every attribute is told apart by its own latents, and the attributes are independent."""

import pytest
import torch

from tnprior_core import (
    Categorical,
    Gaussian,
    GaussianMixturePrior,
    SiteError,
    TensorRingPrior,
    TensorTrainPrior,
    initialize_from_labels,
    interleaved_order,
)

SITES = [
    *(Gaussian(f"z{i}", components=10) for i in range(12)),
    Categorical("digit", tuple("0123456789")),
    Categorical("hat"),
    Categorical("male"),
]
PRIORS = {"train": TensorTrainPrior, "ring": TensorRingPrior}


def started(kind, rank=20, **settings):
    if kind == "mixture":
        prior = GaussianMixturePrior(SITES, components=10 * rank, width=0.61)
    else:
        prior = PRIORS[kind](SITES, rank=rank, order=interleaved_order(SITES))
    initialize_from_labels(prior, **settings)
    return prior


@pytest.mark.parametrize("kind", [*PRIORS, "mixture"])
def test_latents_tell_the_labels_of_every_attribute(kind):
    with torch.no_grad():
        p = started(kind, spread=1.5)()
    values = p.sample((2000,), seed=1)
    observed = torch.zeros_like(values, dtype=torch.bool)
    observed[:, :12] = True
    told = p.observe(values, observed).marginals(["digit", "hat", "male"])
    majority = {"digit": 0.1, "hat": 0.5, "male": 0.5}
    for at, (name, marginal) in enumerate(told.items()):
        right = (marginal.probs.argmax(1) == values[:, 12 + at]).float().mean()
        assert right > majority[name] + 0.3, f"{name}: {right}"


@pytest.mark.parametrize("kind", PRIORS)
def test_attributes_start_independent_and_even(kind):
    with torch.no_grad():
        p = started(kind).double()()
    assert torch.allclose(p.marginal("digit").probs, torch.full((10,), 0.1, dtype=torch.float64), atol=1e-6)
    given = p.condition({"hat": "1", "male": "0"})
    assert torch.allclose(given.marginal("digit").probs, p.marginal("digit").probs, atol=1e-6)
    assert given.log_evidence.item() == pytest.approx(2 * torch.tensor(0.5).log().item(), abs=1e-6)


def test_components_of_a_mixture_stand_for_labels_in_equal_numbers():
    with torch.no_grad():
        p = started("mixture", purity=1.0).double()()
    for name, count in (("digit", 10), ("hat", 2), ("male", 2)):
        assert torch.allclose(
            p.marginal(name).probs, torch.full((count,), 1 / count, dtype=torch.float64), atol=1e-6
        )
    # 200 components: hats and digits are independent but for the luck of the draw.
    given = p.condition({"hat": "1"}).marginal("digit").probs
    assert (given - 0.1).abs().max() < 0.07


@pytest.mark.parametrize("kind", [*PRIORS, "mixture"])
def test_parameters_are_finite_where_labels_are_certain(kind):
    prior = started(kind, purity=1.0)
    assert all(torch.isfinite(parameter).all() for parameter in prior.parameters())


def test_a_mixture_keeps_its_widths_and_reads_its_labels_from_the_latents_around_them():
    prior = started("mixture", purity=1.0)
    assert torch.allclose(prior.log_sigma.exp(), torch.tensor(0.61))
    with torch.no_grad():
        p = prior.double()()
    order = interleaved_order(SITES)
    hats = [site for site in order if site < 12 and abs(order.index(site) - order.index(13)) <= 2]
    values = p.sample((2000,), seed=1)
    observed = torch.zeros_like(values, dtype=torch.bool)
    observed[:, hats] = True
    told = p.observe(values, observed).marginals(["hat", "male"])
    right = {
        at: (told[n].probs.argmax(1) == values[:, at]).double().mean()
        for n, at in (("hat", 13), ("male", 14))
    }
    assert right[13] > 0.75 > 0.7 > right[14]


def test_latents_of_one_attribute_say_nothing_of_another():
    with torch.no_grad():
        p = started("train").double()()
    order = interleaved_order(SITES)
    beside = [site for site in order[: order.index(13) - 2] if site < 12]
    q = p.condition({f"z{site}": 1.0 for site in beside})
    assert torch.allclose(q.marginal("male").probs, p.marginal("male").probs, atol=1e-6)
    assert not torch.allclose(q.marginal("digit").probs, p.marginal("digit").probs, atol=0.05)


@pytest.mark.parametrize("kind", PRIORS)
@pytest.mark.parametrize("switch", [0.0, 0.3, 1.0])
def test_bond_indices_of_one_label_switch_and_keep_it(kind, switch):
    """With 1 the latents are independent given the label; with any the label is told as well as with none."""
    sites = [*(Gaussian(f"z{i}", components=8) for i in range(4)), Categorical("digit", tuple("012"))]
    prior = PRIORS[kind](sites, rank=12, order=interleaved_order(sites))
    initialize_from_labels(prior, purity=1.0, leak=1e-9, switch=switch)
    with torch.no_grad():
        p = prior.double()()
    assert torch.allclose(p.marginal("digit").probs, torch.full((3,), 1 / 3, dtype=torch.float64), atol=1e-6)
    given = p.condition({"digit": "1"})
    z = torch.cartesian_prod(*[torch.linspace(-2.5, 2.5, 7, dtype=torch.float64)] * 2)
    gap = given.marginal(["z0", "z1"]).log_prob(z)
    gap = gap - given.marginal("z0").log_prob(z[:, 0]) - given.marginal("z1").log_prob(z[:, 1])
    assert (gap.abs().max() < 1e-4) == (switch == 1)
    apart = [p.condition({"digit": label}).mean for label in "012"]
    assert torch.stack(apart).std(0).mean() > 0.3


@pytest.mark.parametrize("kind", ["train", "mixture"])
def test_start_is_a_function_of_the_seed(kind):
    first, again, other = (started(kind, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_label_gradient_is_orders_of_magnitude_above_that_of_noise():
    """Why it is there: the gradient of log p(y | z) in z, with which an encoder learns to tell labels apart."""
    slopes = []
    for prior in (started("train"), TensorTrainPrior(SITES, rank=20, order=interleaved_order(SITES))):
        values = torch.randn(64, 15, generator=torch.Generator().manual_seed(0))
        values[:, 12:] = torch.randint(2, (64, 3), generator=torch.Generator().manual_seed(1)).float()
        values.requires_grad_()
        p = prior()
        mask = torch.ones(15, dtype=torch.bool)
        alone = mask.clone()
        alone[12:] = False
        told = p.log_prob(values, mask) - p.log_prob(values, alone)
        slopes.append(torch.autograd.grad(told.sum(), values)[0][:, :12].norm())
    assert slopes[0] > 30 * slopes[1]


def test_open_ends_and_small_ranks_are_fine():
    prior = TensorTrainPrior(SITES, rank=[1, *[6] * 14, 1], order=interleaved_order(SITES))
    initialize_from_labels(prior)
    with torch.no_grad():
        assert torch.isfinite(prior().log_prob(torch.zeros(1, 15))).all()


@pytest.mark.parametrize(
    "settings", [{"spread": 0.0}, {"leak": 0.0}, {"leak": 1.5}, {"purity": 0.2}, {"switch": 1.1}]
)
def test_settings_out_of_range_are_named(settings):
    with pytest.raises(SiteError, match="expected spread > 0"):
        started("train", **settings)


def test_needs_an_attribute():
    with pytest.raises(SiteError, match="at least one categorical site"):
        initialize_from_labels(TensorTrainPrior([Gaussian("z0")], rank=2))
