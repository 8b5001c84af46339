"""A start before any code has been seen: every attribute owns the latents around it, and nothing else."""

import pytest
import torch

from tnprior_core import (
    Categorical,
    Gaussian,
    SiteError,
    TensorRingPrior,
    TensorTrainPrior,
    initialize_from_labels,
    interleaved_order,
)
from tnprior_core.initialize.labels import attribute_groups

KINDS = [TensorTrainPrior, TensorRingPrior]
SITES = [*(Gaussian(f"z{k}", 10) for k in range(8)), Categorical("a", tuple("xyz")), Categorical("b")]


def started(kind, **options):
    prior = kind(SITES, rank=6, order=interleaved_order(SITES))
    initialize_from_labels(prior, **options)
    return prior.double()


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_balanced_and_independent(kind):
    p = started(kind)()
    table = torch.cartesian_prod(torch.arange(3.0), torch.arange(2.0)).double()
    values = torch.cat([torch.zeros(6, 8).double(), table], 1)
    mask = torch.tensor([False] * 8 + [True] * 2)
    torch.testing.assert_close(
        p.log_prob(values, mask).exp(), torch.full((6,), 1 / 6).double(), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("kind", KINDS)
def test_an_attribute_is_told_by_its_own_latents_alone(kind):
    prior = started(kind, spread=1.5, purity=0.95)
    places = [isinstance(SITES[site], Categorical) for site in prior.order]
    owner = [prior.order[place] for place in attribute_groups(places)]
    pairs = [(site, at) for site, at in zip(prior.order, owner, strict=True) if site < 8]
    owns = {attribute: [site for site, at in pairs if at == attribute] for attribute in (8, 9)}
    assert sorted(owns[8] + owns[9]) == list(range(8))
    assert min(len(latents) for latents in owns.values()) >= 3
    p = prior()
    draws = p.sample((500,), seed=1)
    for attribute, other in ((8, 9), (9, 8)):
        name, states = SITES[attribute].name, SITES[attribute].states
        own, foreign = (torch.isin(torch.arange(10), torch.tensor(owns[k])) for k in (attribute, other))
        told = p.observe(draws, own).marginal(name).probs
        assert (told.argmax(1) == draws[:, attribute]).float().mean() > 1 / states + 0.25
        untold = p.observe(draws, foreign).marginal(name).probs
        torch.testing.assert_close(untold, torch.full_like(untold, 1 / states), rtol=0, atol=1e-5)


def test_components_stay_and_the_seed_decides():
    before = TensorTrainPrior(SITES, rank=6)
    priors = [started(TensorTrainPrior, seed=seed) for seed in (1, 1, 2)]
    torch.testing.assert_close(priors[0].mean["n10"].float(), before.mean["n10"])
    torch.testing.assert_close(priors[0].log_sigma["n10"].float(), before.log_sigma["n10"])
    values = torch.zeros(10).double()
    densities = [prior().log_prob(values).item() for prior in priors]
    assert densities[0] == densities[1]
    assert densities[0] != densities[2]


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_of_the_start_can_learn(kind):
    prior = started(kind)
    prior().log_prob(torch.zeros(2, 10).double()).sum().backward()
    for name, parameter in prior.named_parameters():
        assert bool(torch.isfinite(parameter.grad).all()), name
        assert bool((parameter.grad != 0).any()), name


def test_refused():
    with pytest.raises(SiteError, match="at least one categorical site to tell apart, received none"):
        initialize_from_labels(TensorTrainPrior(SITES[:8], rank=2))
    for options in ({"spread": 0.0}, {"leak": 0.0}, {"purity": 0.2}):
        with pytest.raises(SiteError, match="expected spread > 0, 0 < leak <= 1"):
            initialize_from_labels(TensorTrainPrior(SITES, rank=2), **options)


def test_interleaved_order_spreads_the_attributes():
    order = interleaved_order(SITES)
    assert sorted(order) == list(range(10))
    places = [place for place, site in enumerate(order) if site >= 8]
    assert places[1] - places[0] >= 4
    assert interleaved_order(SITES[:8]) == tuple(range(8))
    assert sorted(interleaved_order(SITES[8:])) == [0, 1]
