"""Orders along the chain: random ones, informed ones, and how a prior keeps its own."""

import pytest
import torch
from sklearn.metrics import mutual_info_score

from tnprior_core import (
    Categorical,
    Gaussian,
    ShapeError,
    SiteError,
    TensorRingPrior,
    TensorTrainPrior,
    information_order,
    interleaved_order,
    mutual_information,
    random_order,
)

SITES = [*(Gaussian(f"z{k}", 2) for k in range(6)), Categorical("a"), Categorical("b", ("x", "y", "z"))]


def test_random_order_is_seeded_and_mixes_kinds():
    orders = {random_order(SITES, seed=seed) for seed in range(20)}
    assert len(orders) > 15
    assert all(sorted(order) == list(range(8)) for order in orders)
    assert random_order(SITES, seed=3) == random_order(SITES, seed=3)
    torch.manual_seed(0)
    assert random_order(SITES, seed=3) in orders


def test_mutual_information_is_scikit_learns():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(1000, 2, generator=generator).double()
    codes = ((z[:, 0] + 0.3 * torch.randn(1000, generator=generator)) > 0).long()
    seen = torch.rand(1000, generator=generator) < 0.7
    found = mutual_information(z, codes, seen, 2, bins=8)
    for k in range(2):
        edges = torch.quantile(z[seen, k], torch.linspace(0, 1, 9).double()[1:-1])
        cells = torch.bucketize(z[seen, k], edges, right=True)
        assert found[k].item() == pytest.approx(mutual_info_score(cells.cpu(), codes[seen].cpu()), abs=1e-6)
    assert found[0] > 10 * found[1]
    assert mutual_information(z, codes, torch.zeros(1000).bool(), 2).tolist() == [0, 0]


def informed(noise):
    """Latents 0, 2, 4 know of attribute a (in that order), 1, 3 of attribute b, 5 of nothing much."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randint(2, (2000,), generator=generator), torch.randint(3, (2000,), generator=generator)
    signal = [a, b, a, b, a, 0 * a]
    z = torch.stack(
        [x + s * torch.randn(2000, generator=generator) for x, s in zip(signal, noise, strict=True)], 1
    )
    return z, torch.stack([a, b], 1)


def test_latents_sit_next_to_the_attribute_they_know():
    z, codes = informed([0.1, 0.2, 0.4, 0.6, 0.9, 1.0])
    order = information_order(SITES, z, codes, torch.ones_like(codes).bool())
    assert sorted(order) == list(range(8))
    place = {site: at for at, site in enumerate(order)}
    attribute_a, attribute_b = 6, 7
    assert abs(place[0] - place[attribute_a]) == 1
    assert abs(place[2] - place[attribute_a]) == 1
    assert abs(place[4] - place[attribute_a]) == 2
    assert {abs(place[k] - place[attribute_b]) for k in (1, 3)} == {1}


def test_order_reads_only_what_is_observed():
    z, codes = informed([0.1, 0.2, 0.4, 0.6, 0.9, 1.0])
    seen = torch.rand(codes.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    expected = information_order(SITES, z, codes, seen)
    assert information_order(SITES, z, torch.where(seen, codes, -7), seen) == expected
    with pytest.raises(ShapeError, match="expected an integer code"):
        information_order(SITES, z, torch.full_like(codes, -7), seen)


def test_order_without_attributes_or_latents():
    z, codes = informed([1.0] * 6)
    none = codes[:, :0]
    assert information_order(SITES[:6], z, none, none.bool()) == tuple(range(6))
    assert information_order(SITES[6:], z[:, :0], codes, torch.ones_like(codes).bool()) == (0, 1)


@pytest.mark.parametrize("kind", [TensorTrainPrior, TensorRingPrior])
def test_the_order_travels_with_the_weights(kind):
    prior = kind(SITES, rank=3, order=random_order(SITES, seed=5), seed=1)
    values = torch.zeros(4, 8)
    other = kind(SITES, rank=3, seed=2)
    assert other.order != prior.order
    other.load_state_dict(prior.state_dict())
    assert other.order == prior.order
    torch.testing.assert_close(other().log_prob(values), prior().log_prob(values))
    assert prior.state_dict()["_order"].tolist() == list(prior.order)


@pytest.mark.parametrize("kind", [TensorTrainPrior, TensorRingPrior])
def test_a_new_order_takes_the_cores_along(kind):
    prior = kind(SITES, rank=3)
    before = dict(zip(prior.order, prior.cores(), strict=True))
    expected = prior().log_prob(torch.zeros(8))
    prior.set_order(["b", "z5", "a", "z0", "z1", "z2", "z3", "z4"])
    assert prior.order == (7, 5, 6, 0, 1, 2, 3, 4)
    for site, core in zip(prior.order, prior.cores(), strict=True):
        assert core.equal(before[site])
    assert not torch.allclose(prior().log_prob(torch.zeros(8)), expected)
    with pytest.raises(SiteError, match="expected each of 8 sites once"):
        prior.set_order([0, 1])


def test_order_is_that_of_values_not_of_the_chain():
    """Values stay in declared order whatever the order of the cores."""
    prior = TensorTrainPrior(SITES, rank=1, order=random_order(SITES, seed=5))
    with torch.no_grad():
        prior.mean["n2"].copy_(torch.arange(6.0).unsqueeze(1).expand(6, 2) * 10)
    torch.testing.assert_close(prior().mean, torch.arange(6.0) * 10)
    draws = prior().sample((50,), seed=1)
    assert bool(((draws[:, :6] - torch.arange(6.0) * 10).abs() < 12).all())
    assert draws[:, 7].max() == 2


def test_interleaved_order_spreads_the_attributes():
    order = interleaved_order(SITES)
    assert sorted(order) == list(range(8))
    places = [place for place, site in enumerate(order) if site >= 6]
    assert places[1] - places[0] >= 3
    assert interleaved_order(SITES[:6]) == tuple(range(6))
    assert interleaved_order(SITES[6:]) == (0, 1)
