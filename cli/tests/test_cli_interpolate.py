"""Ways along the prior: every column is an exact sample of its law, ends are objects of `tnp sample`; refusals."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import kstest

from tnprior_cli.prior_views.interpolation import laws_between, quarter_circle, same_noise, with_labels
from tnprior_core import Categorical, Gaussian, StandardNormalPrior, TensorRingPrior, TensorTrainPrior

SITES = [Gaussian("z0", 3), Categorical("digit", ("a", "b", "c")), Gaussian("z1", 3), Categorical("hat")]
LATENTS = [0, 2]
COUNT = 4000


def law(kind=TensorRingPrior):
    """Latents with modes that know the labels, in float64."""
    prior = kind(SITES, rank=3, seed=1).double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in prior.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(0.1 * noise - 1.0 if "log_sigma" in name else parameter + noise)
        return prior()


def latents(values):
    return values[..., LATENTS]


def check_marginals(q, z) -> None:
    for at, site in enumerate(LATENTS):
        assert kstest(q.marginal(SITES[site].name).cdf(z[:, at]).numpy(), "uniform").pvalue > 1e-3
    gap = (torch.cov(z.mT) - q.covariance()).abs().max().item()
    assert gap < 6 * q.variance.max().item() / len(z) ** 0.5


def arrays(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "paths.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def samples(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "samples.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


@pytest.mark.parametrize("kind", [TensorTrainPrior, TensorRingPrior])
def test_every_point_between_two_samples_is_a_sample(kind) -> None:
    """A straight line fails this: its middle has half the variance and lies between the modes."""
    q = law(kind).condition({"hat": "1"})
    first, second = latents(q.sample((2 * COUNT,), seed=1)).chunk(2)
    path = quarter_circle(q, (first, second), [0.0, 0.3, 0.5, 1.0])
    torch.testing.assert_close(path[:, 0], first, rtol=0, atol=1e-8)
    torch.testing.assert_close(path[:, -1], second, rtol=0, atol=1e-8)
    for step in (1, 2):
        check_marginals(q, path[:, step])
    line = (first + second) / 2
    assert kstest(q.marginal("z0").cdf(line[:, 0]).numpy(), "uniform").pvalue < 1e-6


def test_a_standard_normal_is_interpolated_on_the_sphere() -> None:
    q = StandardNormalPrior(SITES)()
    first, second = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    path = quarter_circle(q, (first, second), [0.0, 1 / 3, 1.0])
    expected = torch.tensor([[[3, 0], [3 * math.cos(math.pi / 6), 3 * math.sin(math.pi / 6)], [0, 3]]])
    torch.testing.assert_close(path, expected)


def test_between_conditions_every_column_is_a_sample_of_the_mixture_of_both() -> None:
    """`(1 - t) p(z | a) + t p(z | b or c)` in its distribution function, and the share t among the labels."""
    q = law().condition({"hat": "0"})
    before, after = {"digit": frozenset("a")}, {"digit": frozenset("bc")}
    shares = [0.0, 0.25, 0.6, 1.0]
    laws = laws_between(q, before, after, shares)
    ends = [q.condition({"digit": "a"}), laws[-1]]
    start = latents(ends[0].sample((COUNT,), seed=2))
    z = same_noise(laws, start)
    torch.testing.assert_close(z[:, 0], start, rtol=0, atol=1e-8)
    values = with_labels(laws, z, seed=2, first=0)
    for step, share in enumerate(shares):
        check_marginals(laws[step], z[:, step])
        mixed = sum(
            weight * end.marginal("z1").cdf(z[:, step, 1])
            for weight, end in zip((1 - share, share), ends, strict=True)
        )
        torch.testing.assert_close(laws[step].marginal("z1").cdf(z[:, step, 1]), mixed)
        reached = (values[:, step, 1] > 0).double().mean().item()
        assert reached == pytest.approx(share, abs=5 * (share * (1 - share) / COUNT) ** 0.5 + 1e-12)
        assert torch.equal(latents(values[:, step]), z[:, step])
        assert (values[:, step, 3] == 0).all()


def test_an_attribute_that_only_one_end_names_becomes_free() -> None:
    q = law()
    both = laws_between(q, {"hat": frozenset("1")}, {"digit": frozenset("b")}, [0.0, 1.0])
    z = latents(q.sample((5,), seed=1))
    values = torch.zeros(5, 4).double()
    values[:, LATENTS] = z
    mask = torch.tensor([True, False, True, False])
    for found, given in zip(both, ({"hat": "1"}, {"digit": "b"}), strict=True):
        torch.testing.assert_close(found.log_prob(values, mask), q.condition(given).log_prob(values, mask))


def test_paths_lead_from_object_to_object_of_sample(digits_run: Path, tnp, tmp_path: Path) -> None:
    words = [digits_run, "--given", "digit!=4", "--seed", 5, "-q"]
    assert tnp("interpolate", *words, "-n", 3, "--steps", 4, "-o", tmp_path / "p").code == 0
    assert tnp("interpolate", *words, "-n", 1, "--steps", 4, "-o", tmp_path / "one").code == 0
    assert tnp("sample", *words, "-n", 6, "-o", tmp_path / "s").code == 0
    paths, one, drawn = arrays(tmp_path / "p"), arrays(tmp_path / "one"), samples(tmp_path / "s")
    np.testing.assert_allclose(paths["latents"][:, 0], drawn["latents"][0::2], atol=1e-5)
    np.testing.assert_allclose(paths["latents"][:, -1], drawn["latents"][1::2], atol=1e-5)
    assert np.abs(paths["x"][:, 0].astype(int) - drawn["x"][0::2]).max() <= 1
    for name in paths:
        assert (paths[name][:1] == one[name]).all(), name
    assert paths["share"][0].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_from_one_condition_to_another(faces_run: Path, tnp, tmp_path: Path) -> None:
    words = [faces_run, "--given", "hat=0", "-n", 4]
    ends = ["--from", "male=0", "--to", "Male=1"]
    answer = tnp("interpolate", *words, *ends, "--steps", 5, "-o", tmp_path / "p", "--json")
    assert answer.code == 0, answer.err
    assert [item["given"] for item in answer.json["conditions"]] == ["hat=0", "hat=0,male=0", "hat=0,Male=1"]
    found = arrays(tmp_path / "p")
    assert found["x"].shape == (4, 5, 3, 32, 32)
    assert (found["codes"][:, 0, 0] == 0).all()
    assert (found["codes"][:, -1, 0] == 1).all()
    assert (found["codes"][:, :, 1] == 0).all()
    with (tmp_path / "p" / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["share"] for row in rows[:5]] == ["0.0000", "0.2500", "0.5000", "0.7500", "1.0000"]
    assert {(row["given"], row["from"], row["to"]) for row in rows} == {("hat=0", "male=0", "Male=1")}
    assert [row["male"] for row in rows] == [str(code) for code in found["codes"][..., 0].flatten()]
    with Image.open(tmp_path / "p" / rows[7]["file_name"]) as picture:
        assert (np.asarray(picture).transpose(2, 0, 1) == found["x"][1, 2]).all()
    assert tnp("sample", faces_run, "--given", "hat=0,male=0", "-n", 4, "-o", tmp_path / "s").code == 0
    np.testing.assert_allclose(found["latents"][:, 0], samples(tmp_path / "s")["latents"], atol=1e-5)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--given", "hatt=1"], 2, "did you mean 'hat'"),
        (["--from", "hat=0"], 2, "--from and --to belong together"),
        (["--to", "hat=0"], 2, "--from and --to belong together"),
        (["--from", "", "--to", "hat=1"], 2, "--from and --to belong together"),
        (["--from", "hat=0", "--to", "hatt=1"], 2, "did you mean 'hat'"),
        (["--given", "hat=1", "--from", "hat=0", "--to", "hat=1"], 2, "given twice"),
        (["--from", "hat!=0|1", "--to", "hat=1"], 4, "leaves no label of hat"),
        (["--steps", "1"], 2, "greater than or equal to 2"),
    ],
)
def test_a_bad_request_is_one_line_and_no_output(
    words: list[str], code: int, message: str, faces_run: Path, tnp, tmp_path: Path
) -> None:
    answer = tnp("interpolate", faces_run, *words, "-o", tmp_path / "p")
    assert (answer.code, answer.out) == (code, "")
    assert message in answer.error
    assert list(tmp_path.iterdir()) == []


def test_an_occupied_place_is_refused(digits_run: Path, tnp, tmp_path: Path) -> None:
    words = ["interpolate", digits_run, "-n", 1, "--steps", 2, "-o", tmp_path / "p"]
    assert tnp(*words, "--dry-run").code == 0
    assert list(tmp_path.iterdir()) == []
    assert tnp(*words).code == 0
    assert "--overwrite" in tnp(*words).error
    assert tnp(*words, "--overwrite", "--seed", 3).code == 0
