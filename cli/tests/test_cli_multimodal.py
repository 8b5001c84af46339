"""JMVAE and the product of experts from the command line: trained, drawn from, filled in, evaluated."""

from pathlib import Path

import pytest

NORMAL = ("prior.kind=normal", "prior.components=none", "prior.rank=none", "prior.spread=none")


@pytest.fixture(scope="module", params=["jmvae", "telbo"])
def run(request, tmp_path_factory: pytest.TempPathFactory, tiny: tuple[str, ...]) -> Path:
    """A small model of the digits with a weight of its own."""
    from tnprior_cli.main import main

    path = tmp_path_factory.mktemp(request.param) / "run"
    settings = (f"model.family={request.param}", "model.alignment_weight=0.5", *NORMAL)
    words = [word for text in ("prior.initialize=none", "train.epochs=2", *settings) for word in ("-s", text)]
    assert main(["train", "digits", "--missing", "0.3", *tiny, *words, "-o", str(path), "-q"]) == 0
    return path


def test_objects_for_conditions_of_every_kind(run: Path, tnp, tmp_path: Path) -> None:
    words = [word for text in ("digit=3", "digit=3|5", "digit!=0") for word in ("--given", text)]
    for given in (words[:2], words[2:4], words[4:], []):
        out = tmp_path / "-".join(["x", *given]).replace("|", "_")
        answer = tnp("sample", run, *given, "-n", "4", "-o", out, "--json")
        assert answer.code == 0, answer.err
        (condition,) = answer.json["conditions"]
        assert condition["log_probability"] <= 0
    table = (tmp_path / "x---given-digit=3" / "manifest.csv").read_text().splitlines()
    assert all(line.endswith(",3") for line in table[1:])


def test_it_says_what_it_can_do(run: Path, tnp) -> None:
    shown = tnp("info", run, "--json").json
    assert shown["model"]["family"] in ("jmvae", "telbo")
    assert {"BoundsLikelihood", "Imputes", "Samples", "Draws"} <= set(shown["can"])


def test_it_is_evaluated(run: Path, tnp, tmp_path: Path) -> None:
    words = ["-n", "20", "-k", "2", "--bounded", "20", "--classifier-steps", "12"]
    answer = tnp("eval", run, *words, "-o", tmp_path / "report.json", "--json")
    assert answer.code == 0, answer.err
    assert {"bound/elbo", "imputation-accuracy", "generated-accuracy", "diversity/digit/model"} <= set(
        answer.json["values"]
    )
    assert "standard normal" in (tmp_path / "report.html").read_text()


def test_labels_are_filled_in(run: Path, tnp, tmp_path: Path) -> None:
    answer = tnp("impute", run, "digits", "-o", tmp_path / "filled.csv", "--draws", "2")
    assert answer.code == 0, answer.err
    assert (tmp_path / "filled.csv").is_file()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("model.family=jmvae",), "reads the labels off them"),
        (("model.family=telbo", *NORMAL, "prior.flow=2"), "reads the labels off them"),
        (("model.alignment_weight=1",), "nothing to align"),
        (("model.family=jmvae", *NORMAL, "model.alignment_weight=0"), "greater than 0"),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_one_line(settings, message: str, tnp, tmp_path: Path) -> None:
    words = [word for text in settings for word in ("-s", text)]
    answer = tnp("train", "digits", *words, "-o", tmp_path / "run")
    assert answer.code == 2
    assert message in answer.error
    assert list(tmp_path.iterdir()) == []
