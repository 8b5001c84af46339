"""Densities of pairs: they integrate to one, follow the chain rule and the closed form; pairs that depend; refusals."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import multivariate_normal

from tnprior_cli.prior_views.contours import levels_of
from tnprior_cli.prior_views.densities import Density, dependent_pairs, grid_of, pair_density
from tnprior_core import Categorical, Gaussian, Legs, Mixture, Noisy, StandardNormalPrior, TensorRingPrior

SITES = [Gaussian("z0", 3), Categorical("digit", ("a", "b", "c")), Gaussian("z1", 3), Gaussian("z2", 2)]


def law():
    prior = TensorRingPrior(SITES, rank=3, seed=1).double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in prior.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(0.1 * noise - 0.5 if "log_sigma" in name else parameter + noise)
        return prior()


def arrays(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "marginals.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "marginals.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def density_of(q, pair, points=97) -> Density:
    return pair_density(q, pair, (grid_of([q], pair[0], points), grid_of([q], pair[1], points)))


@pytest.mark.parametrize("given", [{}, {"digit": "b"}, {"z0": Noisy(0.3, 0.8), "z1": Noisy(-0.2, 0.5)}])
def test_a_density_is_that_of_the_two_sites_and_integrates_to_one(given) -> None:
    """`p(z_i, z_j)` point by point, the law's own; what is known of either is known of the density."""
    q = law().condition(given)
    for pair in (("z0", "z1"), ("z2", "z0")):
        found = density_of(q, pair)
        assert found.mass == pytest.approx(1, abs=2e-3)
        points = torch.cartesian_prod(found.first, found.second)
        expected = q.marginal(pair).log_prob(points).exp().view_as(found.values)
        torch.testing.assert_close(found.values, expected)


def test_one_correlated_mixture_against_its_closed_form() -> None:
    """Two components of diagonal covariance: density by scipy, mutual information by a fine sum."""
    means, log_sigma = torch.tensor([-1.0, 1.5]).double(), torch.zeros(2).double()
    legs = Legs.of([Gaussian("x", 2), Gaussian("y", 2)], {"x": (means, log_sigma), "y": (-means, log_sigma)})
    q = Mixture(legs, torch.tensor([0.3, 0.7], dtype=torch.float64).log())
    found = density_of(q, ("x", "y"))
    points = np.stack(np.meshgrid(found.first.numpy(), found.second.numpy(), indexing="ij"), -1)
    parts = [multivariate_normal([m, -m]).pdf(points) for m in means.tolist()]
    np.testing.assert_allclose(found.values.numpy(), 0.3 * parts[0] + 0.7 * parts[1], rtol=1e-9)
    line = np.linspace(-8, 8, 1601)
    one = [np.exp(-0.5 * (line - m) ** 2) / math.sqrt(2 * math.pi) for m in means.tolist()]
    other = [np.exp(-0.5 * (line + m) ** 2) / math.sqrt(2 * math.pi) for m in means.tolist()]
    joint = 0.3 * np.outer(one[0], other[0]) + 0.7 * np.outer(one[1], other[1])
    apart = np.outer(0.3 * one[0] + 0.7 * one[1], 0.3 * other[0] + 0.7 * other[1])
    nats = (joint * np.log(joint / apart)).sum() * (line[1] - line[0]) ** 2
    assert found.information == pytest.approx(nats, abs=2e-3)


def test_independent_latents_share_nothing() -> None:
    q = StandardNormalPrior(SITES)()
    assert density_of(q, ("z0", "z2")).information == pytest.approx(0, abs=1e-6)


def test_the_pairs_that_depend_most_come_first() -> None:
    """z1 and z3 move together; z0 and z2 are uncorrelated and depend all the same, on a cross of four modes."""
    places = {
        "z0": [2.0, -2.0, 0.0, 0.0],
        "z1": [0.0, 0.0, 3.0, -3.0],
        "z2": [0.0, 0.0, 2.0, -2.0],
        "z3": [0.0, 0.0, 3.0, -3.0],
        "z4": [0.0, 0.0, 0.0, 0.0],
    }
    width = torch.full((4,), math.log(0.4))
    legs = Legs.of(
        [Gaussian(name, 4) for name in places], {name: (torch.tensor(x), width) for name, x in places.items()}
    )
    q = Mixture(legs, torch.zeros(4))
    assert abs(q.covariance(["z0", "z2"])[0, 1].item()) < 1e-6
    ranked = dependent_pairs(q, 10, seed=0)
    assert set(ranked[:3]) == {("z1", "z3"), ("z1", "z2"), ("z2", "z3")}
    assert set(ranked[3:6]) == {("z0", "z1"), ("z0", "z2"), ("z0", "z3")}
    assert ranked == dependent_pairs(q, 10, seed=0)
    assert dependent_pairs(q, 2, seed=0) == ranked[:2]


def test_lines_hold_the_mass_they_say() -> None:
    found = density_of(StandardNormalPrior(SITES)(), ("z0", "z1"))
    levels = levels_of(found.values.double().numpy())
    for level, mass in zip(levels, (0.99, 0.9, 0.5), strict=True):
        assert level == pytest.approx((1 - mass) / (2 * math.pi), rel=0.05)


def test_picture_table_and_numbers(digits_run: Path, tnp, tmp_path: Path) -> None:
    words = ["marginals", digits_run, "--given", "digit=3", "--points", 41, "-o", tmp_path / "m"]
    answer = tnp(*words, "--json")
    assert answer.code == 0, answer.err
    found, rows = arrays(tmp_path / "m"), table(tmp_path / "m")
    assert found["pairs"].tolist() == [["z0", "z1"]]
    assert found["given"].tolist() == ["(nothing)", "digit=3"]
    assert found["density"].shape == (2, 1, 41, 41)
    for density in found["density"][:, 0]:
        mass = np.trapezoid(np.trapezoid(density, found["second"][0], axis=1), found["first"][0])
        assert mass == pytest.approx(1, abs=0.02)
    assert [(row["first"], row["second"], row["given"]) for row in rows] == [
        ("z0", "z1", "(nothing)"),
        ("z0", "z1", "digit=3"),
    ]
    for row, said in zip(rows, answer.json["pairs"], strict=True):
        for name in ("correlation", "information", "mass"):
            assert float(row[name]) == pytest.approx(said[name], abs=1e-6)
    with Image.open(tmp_path / "m" / "marginals.png") as picture:
        assert min(picture.size) > 200


def test_the_density_is_that_of_the_runs_own_prior(faces_run: Path, tnp, tmp_path: Path) -> None:
    from tnprior_cli.build import load_model
    from tnprior_cli.rundir import open_run

    words = ["marginals", faces_run, "--pairs", "z1:z0", "--given", "male=1,hat!=1", "--points", 9]
    assert tnp(*words, "-o", tmp_path / "m").code == 0
    found = arrays(tmp_path / "m")
    prior = load_model(open_run(faces_run), "cpu").prior
    values = torch.zeros(81, len(prior.sites))
    at = {site.name: k for k, site in enumerate(prior.sites)}
    grid = np.stack(np.meshgrid(found["first"][0], found["second"][0], indexing="ij"), -1).reshape(81, 2)
    values[:, [at["z1"], at["z0"]]] = torch.from_numpy(grid).float()
    mask = torch.zeros(len(prior.sites), dtype=torch.bool)
    mask[[at["z0"], at["z1"]]] = True
    for law_of, density in zip(({}, {"male": "1", "hat": "0"}), found["density"], strict=True):
        with torch.no_grad():
            expected = prior().condition(law_of).log_prob(values, mask).exp().view(9, 9)
        np.testing.assert_allclose(density[0], expected.numpy(), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--given", "hatt=1"], 2, "did you mean 'hat'"),
        (["--given", "hat!=0|1"], 4, "leaves no label of hat"),
        (["--pairs", "z0:z16"], 2, "unknown latent 'z16'"),
        (["--pairs", "z0:hat"], 2, "unknown latent 'hat'"),
        (["--pairs", "z0"], 2, "expected two latents"),
        (["--pairs", "z0:z0"], 2, "expected two latents"),
        (["--pairs", ""], 2, "expected two latents"),
        (["--pairs", "z0:z1", "-n", "2"], 2, "leave -n out"),
        (["--points", "2"], 2, "greater than or equal to 8"),
    ],
)
def test_a_bad_request_is_one_line_and_no_output(
    words: list[str], code: int, message: str, faces_run: Path, tnp, tmp_path: Path
) -> None:
    answer = tnp("marginals", faces_run, *words, "-o", tmp_path / "m")
    assert (answer.code, answer.out) == (code, "")
    assert message in answer.error
    assert list(tmp_path.iterdir()) == []


def test_an_occupied_place_is_refused(digits_run: Path, tnp, tmp_path: Path) -> None:
    words = ["marginals", digits_run, "--points", 9, "-o", tmp_path / "m"]
    assert tnp(*words, "--dry-run").code == 0
    assert list(tmp_path.iterdir()) == []
    assert tnp(*words).code == 0
    assert "--overwrite" in tnp(*words).error
    assert tnp(*words, "--overwrite").code == 0


def test_a_run_with_one_latent_has_no_pair(digits_run: Path, tnp, tmp_path: Path) -> None:
    words = ["-s", "model.latents=1", "-s", "prior.initialize=none", "-s", "train.epochs=1"]
    assert tnp("train", digits_run, *words, "-o", tmp_path / "run", "-q").code == 0
    answer = tnp("marginals", tmp_path / "run", "-o", tmp_path / "m")
    assert answer.code == 2
    assert "a pair needs two latents; this run has 1" in answer.error
    assert not (tmp_path / "m").exists()
