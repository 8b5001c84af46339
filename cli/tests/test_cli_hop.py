"""Mode hopping: each hop leaves the prior as it is and keeps what it says it keeps; what is written; refusals."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import kstest

from tnprior_cli.prior_views.hopping import hop
from tnprior_core import Categorical, FlowPrior, Gaussian, Legs, OneOf, TensorRingPrior, TensorTrain

SITES = [
    *(Gaussian(f"z{k}", 3) for k in range(3)),
    Categorical("digit", ("a", "b", "c")),
    Gaussian("z3", 3),
    Categorical("hat"),
]
LATENTS = [0, 1, 2, 4]


def law():
    """Latents that depend on each other and on the labels, in float64."""
    prior = TensorRingPrior(SITES, rank=2, seed=1).double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in prior.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(0.1 * noise - 0.7 if "log_sigma" in name else parameter + noise)
        return prior()


def arrays(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "hops.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_last_step_is_a_sample_of_the_same_conditional_prior() -> None:
    """Marginals, covariances and label frequencies, exact against 8,000 trajectories of five hops."""
    q = law().condition({"digit": OneOf("a", "c")})
    count = 8_000
    values = hop(q, count, hops=5, change=2, seed=3).values
    start, last = values[:, 0], values[:, -1]
    for at in LATENTS:
        assert kstest(q.marginal(SITES[at].name).cdf(last[:, at]).numpy(), "uniform").pvalue > 1e-3
    gap = torch.cov(last[:, LATENTS].mT) - q.covariance()
    assert gap.abs().max().item() < 6 * q.variance.max().item() / count**0.5
    joint = torch.bincount((2 * last[:, 3] + last[:, 5]).long(), minlength=6).double() / count
    labels = torch.zeros(6, 6).double()
    labels[:, [3, 5]] = torch.cartesian_prod(torch.arange(3.0), torch.arange(2.0)).double()
    mask = torch.tensor([False, False, False, True, False, True])
    exact = q.log_prob(labels, mask).exp()
    assert bool(((joint - exact).abs() < 5 * (exact / count).sqrt() + 1e-12).all())
    assert not torch.equal(start, last)


def two_modes() -> TensorTrain:
    """Three latents and a label that nearly always agree on which of two modes it is."""
    sites = [Gaussian("z0", 2), Gaussian("z1", 2), Categorical("side"), Gaussian("z2", 2)]
    means, log_sigma = torch.tensor([-2.0, 2.0]).double(), torch.tensor([-0.4, -0.4]).double()
    agreement = 0.05 + 0.9 * torch.eye(2).double()
    core = torch.diag_embed(agreement)  # (component, mode, mode)
    legs = Legs.of(sites, {site.name: (means, log_sigma) for site in sites if isinstance(site, Gaussian)})
    return TensorTrain(legs, [core] * 4)


def test_latents_and_labels_stay_dependent_along_the_chain() -> None:
    """Drawing from p(z_J) instead of p(z_J | z_-J) would pass for each latent alone and fail here."""
    q, count = two_modes(), 6000
    values = hop(q, count, hops=3, change=2, seed=4).values[:, -1]
    latents, exact = values[:, [0, 1, 3]], q.covariance()
    assert (exact[0, 1] / exact[0, 0]).item() > 0.6
    assert (torch.cov(latents.mT) - exact).abs().max().item() < 5 * exact.max().item() / count**0.5
    for code in (0, 1):
        rows = latents[values[:, 2] == code]
        mean = q.condition({"side": str(code)}).mean
        assert (rows.mean(0) - mean).abs().max().item() < 5 * 2.1 / len(rows) ** 0.5


def test_a_hop_changes_the_latents_it_names_and_no_other() -> None:
    values, changed = hop(law(), 5, hops=4, change=2, seed=0)
    assert (values.shape, changed.shape) == ((5, 5, 6), (5, 4, 2))
    moved = values.diff(dim=1)[..., LATENTS] != 0
    expected = torch.nn.functional.one_hot(changed, 4).sum(2).bool()
    assert torch.equal(moved, expected)
    assert len({tuple(row) for row in changed.flatten(0, 1).tolist()}) > 3


def test_behind_a_flow_the_base_hops_and_the_flow_carries_every_step() -> None:
    prior = FlowPrior(TensorRingPrior(SITES, rank=2, seed=1), layers=2, hidden=8, seed=0).double()
    with torch.no_grad():
        for parameter in prior.flow.parameters():
            parameter.add_(0.1 * torch.ones_like(parameter))
        q = prior().condition({"hat": "1"})
    found = hop(q, 50, hops=3, change=2, seed=3)
    base = hop(q.base, 50, hops=3, change=2, seed=3)
    assert torch.equal(found.changed, base.changed)
    torch.testing.assert_close(
        prior.flow(found.values[..., LATENTS].flatten(0, 1)).value.detach(),
        base.values[..., LATENTS].flatten(0, 1),
    )
    assert torch.equal(found.values[..., [3, 5]], base.values[..., [3, 5]])
    torch.testing.assert_close(found.values[:, 0], q.sample((50,), seed=3))
    assert not torch.allclose(found.values[..., 0], base.values[..., 0])


def test_a_trajectory_depends_on_the_seed_and_its_number_alone() -> None:
    q = law()
    whole, part = hop(q, 9, hops=5, change=2, seed=1), hop(q, 3, hops=2, change=2, seed=1, first=4)
    assert torch.equal(whole.values[4:7, :3], part.values)
    assert torch.equal(whole.changed[4:7, :2], part.changed)
    assert torch.equal(whole.values[:, 0], q.sample((9,), seed=1))
    assert not torch.equal(whole.values, hop(q, 9, hops=5, change=2, seed=2).values)


def test_pictures_arrays_and_manifest_agree(faces_run: Path, tnp, tmp_path: Path) -> None:
    words = ["hop", faces_run, "--given", "male=1", "-n", 3, "--hops", 4, "--change", 1]
    answer = tnp(*words, "-o", tmp_path / "h", "--json")
    assert answer.code == 0, answer.err
    rows, found = table(tmp_path / "h"), arrays(tmp_path / "h")
    assert found["x"].shape == (3, 5, 3, 32, 32)
    assert found["latents"].shape == (3, 5, 16)
    assert found["changed"].shape == (3, 4, 1)
    assert [row["file_name"] for row in rows[:2]] == ["images/0000-000.png", "images/0000-001.png"]
    assert [(row["trajectory"], row["hop"]) for row in rows] == [
        (str(i), str(k)) for i in range(3) for k in range(5)
    ]
    assert {row["given"] for row in rows} == {"male=1"}
    assert {row["male"] for row in rows} == {"1"}
    assert [row["changed"] for row in rows[:5]] == ["", *(f"z{k}" for k in found["changed"][0, :, 0])]
    for row, image in zip(rows, found["x"].reshape(-1, 3, 32, 32), strict=True):
        with Image.open(tmp_path / "h" / row["file_name"]) as picture:
            assert (np.asarray(picture).transpose(2, 0, 1) == image).all()
    assert found["codes"].reshape(-1, 3).tolist() == [
        [int(row[name]) for name in ("male", "hat", "smiling")] for row in rows
    ]
    assert answer.json["change"] == 1
    assert answer.json["log_probability"] == pytest.approx(float(rows[0]["log_p_given"]), abs=1e-5)
    with Image.open(tmp_path / "h" / "grid.png") as grid:
        assert grid.width > 5 * 96
        assert grid.height > 3 * 96


def test_the_start_is_what_sample_draws_and_rows_do_not_depend_on_their_number(
    digits_run: Path, tnp, tmp_path: Path
) -> None:
    words = ["hop", digits_run, "--given", "digit=3|5", "--seed", 7, "-q"]
    assert tnp(*words, "-n", 5, "-o", tmp_path / "five").code == 0
    assert tnp(*words, "-n", 2, "-o", tmp_path / "two").code == 0
    assert tnp("sample", *words[1:], "-n", 5, "-o", tmp_path / "s").code == 0
    five, two = arrays(tmp_path / "five"), arrays(tmp_path / "two")
    for name in five:
        assert (five[name][:2] == two[name]).all(), name
    with np.load(tmp_path / "s" / "samples.npz", allow_pickle=False) as archive:
        assert (five["latents"][:, 0] == archive["latents"]).all()
        assert (five["x"][:, 0] == archive["x"]).all()
    assert five["changed"].shape == (5, 9, 2)  # all latents, where there are fewer than five


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--given", "hatt=1"], 2, "did you mean 'hat'"),
        (["--given", "hat=yes"], 2, "Allowed: 0, 1"),
        (["--given", "hat!=0|1"], 4, "leaves no label of hat"),
        (["--change", "17"], 2, "more than the 16 latents"),
        (["--hops", "0"], 2, "greater than or equal to 1"),
        (["-d", "tpu"], 2, "unknown device 'tpu'"),
        (["--dry-run", "--change", "99"], 2, "more than the 16 latents"),
    ],
)
def test_a_bad_request_is_one_line_and_no_output(
    words: list[str], code: int, message: str, faces_run: Path, tnp, tmp_path: Path
) -> None:
    answer = tnp("hop", faces_run, *words, "-o", tmp_path / "h")
    assert (answer.code, answer.out) == (code, "")
    assert message in answer.error
    assert list(tmp_path.iterdir()) == []


def test_an_occupied_place_is_refused_and_a_dry_run_writes_nothing(
    digits_run: Path, tnp, tmp_path: Path
) -> None:
    words = ["hop", digits_run, "-n", 1, "--hops", 1]
    assert tnp(*words, "-o", tmp_path / "h", "--dry-run").code == 0
    assert list(tmp_path.iterdir()) == []
    assert tnp(*words, "-o", tmp_path / "h").code == 0
    assert "--overwrite" in tnp(*words, "-o", tmp_path / "h").error
    assert tnp(*words, "-o", tmp_path / "h", "--overwrite").code == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("")
    assert "leaves it alone" in tnp(*words, "-o", tmp_path / "mine", "--overwrite").error
    assert tnp("hop", tmp_path / "nothing").code == 3


def test_a_failure_half_way_leaves_nothing(digits_run: Path, tnp, tmp_path: Path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "grid.png")

    monkeypatch.setattr("tnprior_cli.prior_views.album.save_labelled_grid", full)
    answer = tnp("hop", digits_run, "-o", tmp_path / "h")
    assert answer.code == 1
    assert "no space left" in answer.error
    assert list(tmp_path.iterdir()) == []
