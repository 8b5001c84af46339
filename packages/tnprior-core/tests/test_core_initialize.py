"""Initialisation: against scikit-learn, against known mixtures, and with every kind of awkward table."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from tnprior_core import (
    Categorical,
    Gaussian,
    GaussianMixturePrior,
    ShapeError,
    TensorRingPrior,
    TensorTrainPrior,
    fit_mixtures,
    initialize_from_clusters,
    initialize_from_mixtures,
)
from tnprior_core.initialize import mixtures

KINDS = [TensorTrainPrior, TensorRingPrior]


def three_groups(n=900, d=4, seed=0):
    """Points in three groups; two attributes tell the group, the third is a coin."""
    generator = torch.Generator().manual_seed(seed)
    group = torch.randint(3, (n,), generator=generator)
    centre = 4 * torch.randn(3, d, generator=generator)
    z = centre[group] + 0.5 * torch.randn(n, d, generator=generator)
    coin = torch.randint(2, (n,), generator=generator)
    return z, torch.stack([group, (group == 1).long(), coin], 1), group


LATENTS = [Gaussian(f"z{k}", 4) for k in range(4)]
SITES = [*LATENTS, Categorical("g", tuple("abc")), Categorical("is1"), Categorical("coin")]


def test_fit_against_scikit_learn():
    """The same start and the same number of steps of expectation maximisation give the same numbers."""
    random = np.random.default_rng(0)
    columns = [
        np.concatenate([random.normal(-3, 0.7, 300), random.normal(1, 1.5, 500)]),
        random.standard_exponential(800),
    ]
    z = torch.as_tensor(np.stack(columns, 1))
    weight, mean, sigma = fit_mixtures(z, 3, iterations=7)
    for k in range(2):
        start = np.quantile(columns[k], (np.arange(3) + 0.5) / 3)
        precision = np.full((3, 1), (3 / columns[k].std()) ** 2)
        model = GaussianMixture(
            3,
            covariance_type="diag",
            means_init=start[:, None],
            precisions_init=precision,
            weights_init=np.full(3, 1 / 3),
            max_iter=7,
            tol=0,
            reg_covar=0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(columns[k][:, None])
        np.testing.assert_allclose(weight[k].cpu().numpy(), model.weights_, atol=1e-9)
        np.testing.assert_allclose(mean[k].cpu().numpy(), model.means_[:, 0], atol=1e-9)
        np.testing.assert_allclose(sigma[k].cpu().numpy(), model.covariances_[:, 0] ** 0.5, atol=1e-9)


def test_fit_in_parts_is_the_same(monkeypatch):
    z = torch.randn(50, 7, dtype=torch.float64)
    whole = fit_mixtures(z, 3)
    monkeypatch.setattr(mixtures, "_CELLS_AT_ONCE", 300)
    for part, found in zip(fit_mixtures(z, 3), whole, strict=True):
        torch.testing.assert_close(part, found, rtol=0, atol=1e-12)


def test_from_mixtures_sets_the_components_and_forgets_the_cores():
    z = torch.cat([torch.randn(300, 1) - 5, torch.randn(300, 1) + 5])
    prior = TensorTrainPrior([Gaussian("z", 2), Categorical("a")], rank=3, seed=0)
    before = [core.detach().clone() for core in prior.cores()]
    initialize_from_mixtures(prior, z, seed=4)
    _, mean, sigma = fit_mixtures(z.double(), 2)
    q = prior().marginal("z")
    torch.testing.assert_close(q.component_mean, mean[0].float())
    torch.testing.assert_close(q.component_sigma, sigma[0].float())
    assert not any(torch.allclose(core, old) for core, old in zip(prior.cores(), before, strict=True))
    assert all(len(core.detach().flatten().unique()) > 5 for core in prior.cores())  # noise, not constants
    again = TensorTrainPrior([Gaussian("z", 2), Categorical("a")], rank=3, seed=9)
    initialize_from_mixtures(again, z, seed=4)
    torch.testing.assert_close(again.cores(), prior.cores())


@pytest.mark.parametrize("kind", KINDS)
def test_clusters_know_the_attributes_at_once(kind):
    z, codes, group = three_groups()
    prior = kind(SITES, rank=6, order=[4, 0, 5, 1, 6, 2, 3])
    seen = torch.rand(codes.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    initialize_from_clusters(prior, z[:600], codes[:600], seen[:600], seed=3)
    values = torch.cat([z[600:], torch.zeros(300, 3)], 1)
    known = torch.tensor([True] * 4 + [False] * 3)
    marginals = prior().observe(values, known.expand(300, 7)).marginals(["g", "is1", "coin"])
    accuracy = [
        (marginals[name].probs.argmax(1) == codes[600:, at]).float().mean().item()
        for at, name in enumerate(marginals)
    ]
    assert accuracy[0] > 0.97
    assert accuracy[1] > 0.97
    assert 0.35 < accuracy[2] < 0.65
    assert bool((marginals["coin"].probs.amax(1) < 0.8).all())
    shares = torch.bincount(group[:600]) / 600
    torch.testing.assert_close(prior().marginal("g").probs, shares, rtol=0, atol=0.08)
    # It is also a density of z: better than components placed blindly.
    assert prior().log_prob(values, known).mean() > kind(SITES, rank=6)().log_prob(values, known).mean() + 1


def test_a_mixture_gets_one_component_per_cluster():
    """Three groups, three components: their weights, means and labels, and the groups' own density."""
    z, codes, group = three_groups(300)
    prior = GaussianMixturePrior(SITES, components=3)
    initialize_from_clusters(prior, z, codes, torch.ones_like(codes).bool())
    found = prior.mean.detach()[:, prior.label_logits["n3"][0].argmax(0)].mT
    means = torch.stack([z[group == k].mean(0) for k in range(3)])
    torch.testing.assert_close(found, means, atol=0.1, rtol=0)
    torch.testing.assert_close(prior().marginal("g").probs, torch.bincount(group) / 300, atol=0.02, rtol=0)
    posterior = prior().observe(torch.cat([z, codes], 1), torch.arange(7) < 4).marginals()["g"].probs
    assert (posterior.argmax(1) == group).float().mean().item() > 0.99


def test_a_leak_leaves_no_core_entry_at_zero():
    z, codes, _ = three_groups(n=100)
    prior = TensorRingPrior(SITES, rank=4)
    initialize_from_clusters(prior, z, codes, torch.ones_like(codes).bool())
    for core in prior.cores():
        share = core / core.sum((1, 2), keepdim=True)
        assert bool((share[:, ~torch.eye(4).bool()] > 1e-8).all())
    prior().log_prob(torch.cat([z, codes.float()], 1)).sum().backward()
    assert all(bool(torch.isfinite(parameter.grad).all()) for parameter in prior.parameters())


def same(first, second):
    return all(a.equal(b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_what_is_not_observed_is_never_read():
    z, codes, _ = three_groups()
    seen = torch.rand(codes.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    priors = []
    for rubbish in (0, -1, 99):
        prior = TensorTrainPrior(SITES, rank=4)
        initialize_from_clusters(prior, z, torch.where(seen, codes, rubbish), seen, iterations=3)
        priors.append(prior)
    assert same(priors[0], priors[1])
    assert same(priors[0], priors[2])


def test_seeded_and_inputs_kept():
    z, codes, _ = three_groups()
    seen = torch.ones_like(codes).bool()
    before = z.clone(), codes.clone()
    priors = [TensorTrainPrior(SITES, rank=4, seed=seed) for seed in (1, 2)]
    for prior in priors:
        initialize_from_clusters(prior, z, codes, seen, seed=5, iterations=3)
    assert same(*priors)
    assert z.equal(before[0])
    assert codes.equal(before[1])


AWKWARD = {
    "constant latent": lambda z, codes: (torch.cat([z[:, :3], torch.zeros(len(z), 1)], 1), codes),
    "constant everything": lambda z, codes: (torch.zeros_like(z), torch.zeros_like(codes)),
    "fewer points than clusters": lambda z, codes: (z[:3], codes[:3]),
    "one point": lambda z, codes: (z[:1], codes[:1]),
    "huge": lambda z, codes: (1e6 * z, codes),
    "tiny": lambda z, codes: (1e-6 * z, codes),
    "float64": lambda z, codes: (z.double(), codes.int()),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("seen", [True, False])
def test_awkward_tables(kind, name, seen):
    z, codes, _ = three_groups(n=60)
    z, codes = AWKWARD[name](z, codes)
    prior = kind(SITES, rank=8)
    initialize_from_clusters(prior, z, codes, torch.full(codes.shape, seen), iterations=3)
    values = torch.cat([z.float(), codes.float()], 1)
    assert bool(torch.isfinite(prior().log_prob(values)).all())
    initialize_from_mixtures(prior, z, iterations=3)
    assert bool(torch.isfinite(prior().log_prob(values)).all())


def test_latents_alone_and_attributes_alone():
    z, codes, _ = three_groups()
    none = torch.zeros(len(z), 0, dtype=torch.long)
    latents = TensorTrainPrior(LATENTS, rank=4)
    initialize_from_clusters(latents, z, none, none.bool())
    assert latents().log_prob(z).mean() > TensorTrainPrior(LATENTS, rank=4)().log_prob(z).mean() + 1
    labels = TensorRingPrior(SITES[4:], rank=4)
    initialize_from_clusters(labels, z[:, :0], codes, torch.ones_like(codes).bool())
    # The second attribute is a function of the first.
    assert labels().condition({"g": "b"}).marginal("is1").probs[1] > 0.9
    assert labels().condition({"g": "a"}).marginal("is1").probs[1] < 0.1


def test_a_train_with_closed_ends():
    """Bonds 1, m, ..., m, 1: the open ends of the chain do not limit the number of clusters."""
    z, codes, _ = three_groups()
    prior = TensorTrainPrior(SITES, rank=[1, 5, 6, 5, 7, 5, 5, 1])
    initialize_from_clusters(prior, z, codes, torch.ones_like(codes).bool())
    values = torch.cat([z, torch.zeros(len(z), 3)], 1)
    known = torch.tensor([True] * 4 + [False] * 3).expand(values.shape)
    found = prior().observe(values, known).marginal("g").probs.argmax(1)
    assert (found == codes[:, 0]).float().mean() > 0.95
    torch.testing.assert_close(
        prior().marginal("g").probs, torch.bincount(codes[:, 0]) / len(z), rtol=0, atol=0.08
    )


@pytest.mark.parametrize(
    ("z", "codes", "message"),
    [
        (torch.zeros(5, 3), torch.zeros(5, 3).long(), r"latent codes of shape \(n, 4\), n >= 1, received \(5, 3\)"),
        (torch.zeros(0, 4), torch.zeros(0, 3).long(), r"n >= 1, received \(0, 4\)"),
        (torch.full((5, 4), torch.nan), torch.zeros(5, 3).long(), "finite latent codes, received NaN or infinity"),
        (torch.zeros(5, 4), torch.zeros(5, 2).long(), r"codes and observed of shape \(5, 3\), received \(5, 2\)"),
        (
            torch.zeros(5, 4),
            torch.tensor([[0, 2, 0]] * 5),
            "'is1', example 0: expected an integer code 0 ... 1, received 2; mark missing cells as False",
        ),
    ],
)  # fmt: skip
def test_tables_that_do_not_fit(z, codes, message):
    with pytest.raises(ShapeError, match=message):
        initialize_from_clusters(TensorTrainPrior(SITES, rank=2), z, codes, torch.ones_like(codes).bool())
