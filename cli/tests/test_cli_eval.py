"""Evaluating: the numbers are there with their protocol, thresholds decide the exit code, the card learns them."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from tnprior_cli.errors import ThresholdMissedError, UsageError
from tnprior_cli.thresholds import check_thresholds, parse_threshold

QUICK = ["-n", "40", "-k", "3", "--bounded", "30", "--classifier-steps", "24"]


@pytest.fixture(scope="module")
def evaluated(digits_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run with its report."""
    from tnprior_cli.main import main

    run = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(digits_run, run)
    assert main(["eval", str(run), *QUICK, "-q"]) == 0
    return run


def test_the_report_has_every_number_with_its_protocol(evaluated: Path) -> None:
    report = json.loads((evaluated / "report.json").read_text())
    assert {
        *("bound/elbo", "bound/iwae-3", "bound/elbo-bits", "joint-bound/elbo", "joint-bound/iwae-3"),
        *("imputation-accuracy", "imputation-majority"),
        *("imputation/ece", "classifier-accuracy", "generated-accuracy", "classifier-frechet"),
    } <= set(report["values"])
    assert not any(name.startswith("inception") for name in report["values"])
    assert report["values"]["bound/elbo"] <= report["values"]["bound/iwae-3"] < 0
    table = {cells[0]: cells for cells in report["table"]}
    assert "extractor=classifier:" in table["generated-accuracy"][4]
    assert table["classifier-accuracy"][2].startswith("[")
    assert table["imputation-accuracy"][3] == "359"
    assert report["versions"]["torch"]


def test_the_joint_bound_has_every_known_label_of_the_same_codes(evaluated: Path) -> None:
    """The difference of the two ELBOs is E_q[log p(y|z)], by hand; hidden labels of the test split are told, too."""
    from tnprior_cli.build import load_model, model_input
    from tnprior_cli.evaluation.bounds import CHUNK, likelihood_bounds
    from tnprior_cli.evaluation.subject import Effort, Subject
    from tnprior_cli.rundir import open_run

    effort = Effort(40, 30, CHUNK, 24, None, seed=0)
    subject = Subject(open_run(evaluated), effort, "cpu", print)
    model, told = load_model(subject.run, "cpu"), subject.test.truth.codes[:30]
    assert not subject.test.observed[:30].all()
    assert subject.test.truth.observed[:30].all()
    x = model_input(subject.test, slice(0, 30), model)[0]
    torch.manual_seed(0)
    z = model.encode(x).rsample(torch.Size((CHUNK,)))
    with torch.no_grad():
        joint, alone = model.log_joint_and_latent(z, told, torch.ones_like(told).bool(), model.prior())
    values = [{row.name: row.estimate.value for row in bound.rows()} for bound in likelihood_bounds(subject)]
    assert values[1]["joint-bound/elbo"] - values[0]["bound/elbo"] == pytest.approx(
        float((joint - alone).mean()), abs=1e-4
    )
    assert not any("bits" in name for name in values[1])


def test_the_card_of_the_run_shows_the_numbers(evaluated: Path) -> None:
    card = (evaluated / "README.md").read_text()
    assert "Measured by `tnp eval" in card
    assert "| generated-accuracy |" in card


def test_the_same_seed_gives_the_same_numbers_and_the_judge_is_kept(evaluated: Path, tnp) -> None:
    old = json.loads((evaluated / "report.json").read_text())["values"]
    answer = tnp("eval", evaluated, *QUICK, "--json", "-o", evaluated / "again.json")
    assert answer.code == 0, answer.err
    assert answer.json["values"] == old
    assert "classifier: step" not in answer.err
    assert "generated-accuracy" in answer.err


def test_the_best_of_several_is_told_by_the_protocol_of_what_it_changes(evaluated: Path, tnp) -> None:
    place = evaluated / "best.json"
    answer = tnp("eval", evaluated, *QUICK, "--best-of", 2, "--json", "-q", "-o", place)
    assert answer.code == 0, answer.err
    assert "--best-of 2" in answer.json["command"]
    told = {cells[0] for cells in answer.json["table"] if "best_of=2" in cells[4]}
    assert "generated-accuracy" in told
    assert not {"classifier-accuracy", "classifier-frechet", "imputation-accuracy"} & told


def test_a_missed_threshold_is_exit_code_5_and_a_met_one_0(evaluated: Path, tnp) -> None:
    words = ["eval", evaluated, *QUICK, "-q", "--require"]
    missed = tnp(*words, "generated-accuracy>=1.01")
    assert missed.code == 5
    assert "required >= 1.01" in missed.error
    assert tnp(*words, "imputation>=0", "--require", "ece<1").code == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fid", "expected NAME<NUMBER"),
        ("fid<low", "expected NAME<NUMBER"),
        ("fid<30", "needs --inception-weights"),
    ],
)
def test_a_threshold_that_cannot_be_checked_is_refused_at_once(
    text: str, message: str, evaluated: Path, tnp
) -> None:
    answer = tnp("eval", evaluated, "--require", text)
    assert answer.code == 2
    assert message in answer.error


def test_missing_inception_weights_are_named(evaluated: Path, tnp) -> None:
    answer = tnp("eval", evaluated, *QUICK, "-q", "--inception-weights", "/no/weights.pth")
    assert answer.code in (1, 3)
    assert "/no/weights.pth" in answer.error


def test_a_run_without_weights_is_exit_code_3(digits_run: Path, tnp, tmp_path: Path) -> None:
    for name in ("config.json", "attributes.json"):
        shutil.copy(digits_run / name, tmp_path)
    answer = tnp("eval", tmp_path)
    assert answer.code == 3
    assert "no model.safetensors yet" in answer.error


def test_thresholds_compare_as_written() -> None:
    values = {"a": 0.5, "b": float("nan")}
    check_thresholds([parse_threshold(text) for text in ("a<0.6", "a<=0.5", "a > 0.4", "a>=.5")], values)
    for text in ("a<0.5", "a>0.5", "b<1", "b>=0"):
        with pytest.raises(ThresholdMissedError, match="required"):
            check_thresholds([parse_threshold(text)], values)
    with pytest.raises(UsageError, match="unknown number"):
        check_thresholds([parse_threshold("c<1")], values)
    assert str(parse_threshold("fid<30")) == "inception-fid<30"
