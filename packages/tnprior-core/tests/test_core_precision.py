"""Single precision against double, long chains, far tails: finite and right, values and gradients."""

import copy

import pytest
import torch

from tnprior_core import (
    Between,
    Categorical,
    FactorRingPrior,
    Gaussian,
    GaussianMixturePrior,
    Noisy,
    TensorRingPrior,
    TensorTrainPrior,
    initialize_from_clusters,
)

KINDS = [TensorTrainPrior, TensorRingPrior]
BAR = 1e-3  # nats


def mixed(latents, attributes, components=10):
    return [Gaussian(f"z{k}", components) for k in range(latents)] + [
        Categorical(f"a{k}") for k in range(attributes)
    ]


def draw(prior, rows, scale=2.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    latents, attributes = len(prior.latents), len(prior.attributes)
    z = scale * torch.randn(rows, latents, generator=generator)
    codes = torch.randint(2, (rows, attributes), generator=generator)
    mask = torch.rand(rows, latents + attributes, generator=generator) < 0.8
    return torch.cat([z, codes.float()], 1), mask


def from_clusters(kind):
    """As training starts: two hundred points in well separated groups, cores nearly diagonal."""
    prior = kind(mixed(100, 28), rank=40)
    generator = torch.Generator().manual_seed(3)
    centre = 6 * torch.randn(40, 100, generator=generator)
    member = torch.arange(400) % 40
    z = centre[member] + torch.randn(400, 100, generator=generator)
    codes = (torch.rand(40, 28, generator=generator) < 0.5).long()[member]
    initialize_from_clusters(prior, z, codes, torch.ones_like(codes).bool(), iterations=2)
    return prior


def peaked(kind):
    """Cores whose entries differ by many orders of magnitude, as after long training."""
    prior = kind(mixed(100, 28), rank=40)
    with torch.no_grad():
        for raw in prior.raw_cores.values():
            raw.add_(4 * torch.randn(raw.shape, generator=torch.Generator().manual_seed(1)))
    return prior


def sharp(kind):
    """Sites that do not agree: some components a hundred times narrower than others."""
    prior = kind(mixed(100, 28), rank=40)
    with torch.no_grad():
        for log_sigma in prior.log_sigma.values():
            log_sigma.copy_(4 * torch.rand(log_sigma.shape, generator=torch.Generator().manual_seed(1)) - 4.5)
    return prior


def finite(prior):
    return all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in prior.parameters())


STARTS = {
    "noise": lambda kind: kind(mixed(100, 28), rank=40),
    "clusters": from_clusters,
    "peaked": peaked,
    "sharp": sharp,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("start", STARTS)
def test_single_precision_at_128_sites_and_rank_40(kind, start):
    prior = STARTS[start](kind)
    precise = copy.deepcopy(prior).double()
    values, mask = draw(prior, 4)
    with torch.no_grad():
        found, expected = prior().log_prob(values, mask), precise().log_prob(values.double(), mask)
    assert bool(torch.isfinite(expected).all())
    assert (found.double() - expected).abs().max().item() < BAR


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_in_single_precision(kind):
    prior = kind(mixed(20, 10, components=5), rank=6)
    precise = copy.deepcopy(prior).double()
    values, mask = draw(prior, 16)
    prior().log_prob(values, mask).mean().backward()
    precise().log_prob(values.double(), mask).mean().backward()
    for found, expected in zip(prior.parameters(), precise.parameters(), strict=True):
        torch.testing.assert_close(found.grad.double(), expected.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_sites(kind):
    prior = kind(mixed(800, 200, components=3), rank=4)
    values, mask = draw(prior, 2, scale=5.0)
    leaf = values.requires_grad_()
    log_prob = prior().log_prob(leaf, mask)
    log_prob.sum().backward()
    assert bool(torch.isfinite(log_prob).all())
    assert bool((log_prob.abs() > 1000).all())
    assert all(bool(torch.isfinite(parameter.grad).all()) for parameter in prior.parameters())
    assert bool(torch.isfinite(leaf.grad).all())
    assert bool(torch.isfinite(prior().sample((3,))).all())


PRIORS = {
    "train": lambda: TensorTrainPrior(mixed(3, 2, 4), rank=3),
    "ring": lambda: TensorRingPrior(mixed(3, 2, 4), rank=3),
    "mixture": lambda: GaussianMixturePrior(mixed(3, 2, 4), components=4),
    "factor ring": lambda: FactorRingPrior(mixed(3, 2, 4), components=4, points=3),
}


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("distance", [50.0, 1000.0])
def test_far_from_every_component(name, distance):
    """Single precision, fifty (and a thousand) standard deviations away: everything still pulls back."""
    prior = PRIORS[name]()
    values = torch.zeros(2, 5)
    values[0, :3], values[1, :3] = distance, -distance
    values.requires_grad_()
    log_prob = prior().log_prob(values)
    log_prob.sum().backward()
    assert bool(torch.isfinite(log_prob).all())
    # The slope of a normal density far out: -(z - mean) / sigma^2 of the widest one, so away from zero.
    pull = values.grad[:, :3] * values.detach()[:, :3].sign()
    assert bool((pull < 0).all())
    for name, parameter in prior.named_parameters():
        assert bool(torch.isfinite(parameter.grad).all()), name


WORDS = {
    "half-open interval": lambda: Between(0.5, torch.inf),
    "interval fifty sigma away": lambda: Between(60.0, 61.0),
    "tail fifty sigma away": lambda: Between(-torch.inf, -60.0),
    "narrow interval": lambda: Between(0.3, 0.3001),
    "precise measurement": lambda: Noisy(0.3, 1e-6),
    "measurement fifty sigma away": lambda: Noisy(60.0, 0.1),
}


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("word", WORDS)
def test_soft_evidence(name, word):
    prior = PRIORS[name]()
    precise = copy.deepcopy(prior).double()
    found = prior().condition({"z0": WORDS[word]()}).log_evidence
    found.backward()
    expected = precise().condition({"z0": WORDS[word]()}).log_evidence
    expected.backward()
    assert abs(found.item() - expected.item()) < max(BAR, 3e-7 * abs(expected.item()))
    for parameter, exact in zip(prior.parameters(), precise.parameters(), strict=True):
        if exact.grad is not None:
            torch.testing.assert_close(parameter.grad.double(), exact.grad, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", PRIORS)
def test_gradient_of_something_impossible_is_zero(name):
    prior = PRIORS[name]()
    q = prior().condition({"a0": "0"}).condition({"a0": torch.tensor([0, 1])})
    q.log_evidence[q.log_evidence > -torch.inf].sum().backward()
    assert finite(prior)
    prior.zero_grad()
    impossible = (
        prior().condition({"z0": Between(0.0, 1.0)}).condition({"z0": Between(2.0, 3.0)}).log_evidence
    )
    impossible.backward()
    assert impossible.item() == -torch.inf
    assert finite(prior)


@pytest.mark.parametrize("name", PRIORS)
def test_autocast_ends_at_the_prior(name):
    prior = PRIORS[name]()
    values, mask = draw(prior, 8)
    expected = prior().log_prob(values, mask)
    with torch.autocast(values.device.type, torch.bfloat16):
        found, draws = prior().log_prob(values, mask), prior().sample((5,), seed=1)
        mean = prior().mean
    torch.testing.assert_close(found, expected)
    assert draws.equal(prior().sample((5,), seed=1))
    torch.testing.assert_close(mean, prior().mean)
