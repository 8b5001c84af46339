"""Tables: ours beside the paper's, nothing done twice, interruptions continued, failures contained."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.models import CommandInfo

from tnprior_cli.errors import UsageError
from tnprior_cli.tables.quantities import FAMILIES, NAMES, check_quantity

CONFIG = """
base = "digits"
[model]
width = 8
hidden = 16
latents = 2
[prior]
rank = 2
components = 2
[train]
epochs = 1
warmup = 0
schedule = "constant"
batch_size = 480
"""

TABLE = Path(__file__).with_name("small_table.toml").read_text(encoding="utf-8")

FIT = """
[[rows]]
name = "fitted"
label = "a fitted prior"
fit = "full"
settings = ["prior.rank=3"]
"""


def table_file(folder: Path, text: str = TABLE) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "small.toml").write_text(CONFIG)
    (folder / "mini.toml").write_text(text)
    return folder / "mini.toml"


def stored(out: Path) -> Any:
    return json.loads((out / "table.json").read_text())


def everything(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def said(answer: Any) -> list[str]:
    """The command lines that were run."""
    return [line for line in answer.err.splitlines() if line.startswith("$ ")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of two rows and one seed that ran to its end: its folder, with the file and `out`."""
    from tnprior_cli.main import main

    folder = tmp_path_factory.mktemp("tables")
    assert main(["table", str(table_file(folder)), "-o", str(folder / "out"), "-q"]) == 0
    return folder


@pytest.fixture
def done(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to work on, as the present folder."""
    folder = tmp_path / "work"
    shutil.copytree(finished, folder)
    monkeypatch.chdir(folder)
    return folder


def test_ours_are_the_numbers_of_the_reports(finished: Path) -> None:
    result = stored(finished / "out")
    assert result["complete"]
    assert [row["name"] for row in result["rows"]] == ["full", "few"]
    for row in result["rows"]:
        (run,) = row["runs"]
        report = json.loads((Path(run["run"]) / "report.json").read_text())["values"]
        assert row["ours"]["accuracy"]["values"] == [100 * report["generated-accuracy"]]
        assert row["ours"]["frechet"]["mean"] == report["classifier-frechet"]
        assert "fid" not in row["ours"]
        assert 0 < run["minutes"] < 10
    assert result["rows"][0]["paper"] == {"accuracy": 89.94, "fid": 40.8}
    assert {"processor", "cores", "versions"} <= set(result["machine"])


def test_the_run_has_the_settings_of_its_row(finished: Path) -> None:
    few = json.loads((finished / "out" / "runs" / "few-seed0" / "config.json").read_text())
    assert (few["data"]["missing"], few["seed"]) == (0.7, 0)


def test_the_page_keeps_the_papers_fid_and_our_distance_apart(finished: Path) -> None:
    page = (finished / "out" / "table.md").read_text()
    heads = next(line for line in page.splitlines() if line.startswith("|  | ours"))
    assert [cell.strip() for cell in heads.strip("|").split("|")][1:] == [
        "ours: accuracy, %",
        "paper: accuracy, %",
        "ours: Fréchet distance in classifier features",
        "paper: FID in Inception features",
        "minutes",
    ]
    assert "| 89.94 |" in page
    assert "The paper counts otherwise." in page
    out = finished / "out"
    assert f"tnp train {finished}/small.toml -s data.missing=0.7 --seed 0 -o {out}/runs/few-seed0" in page
    assert f"tnp eval {out}/runs/few-seed0 -n 20" in page
    assert f"`tnp table {finished}/mini.toml --seeds 1 -o {out}`" in page


def test_the_stored_commands_repeat_a_run(done: Path, tnp) -> None:
    from safetensors.numpy import load_file

    words = ["train", "small.toml", "-s", "data.missing=0.7", "--seed", "0", "-o", "again", "-q"]
    assert tnp(*words).code == 0
    one, two = (
        load_file(path / "model.safetensors") for path in (Path("again"), done / "out/runs/few-seed0")
    )
    assert all((one[name] == two[name]).all() for name in one)


def test_what_is_complete_is_left_alone(done: Path, tnp) -> None:
    before = everything(done / "out" / "runs")
    answer = tnp("table", "mini.toml", "-o", "out", "--json")
    assert answer.code == 0, answer.err
    assert said(answer) == []
    assert everything(done / "out" / "runs") == before
    assert answer.json["rows"] == stored(done / "out")["rows"]
    assert "89.94" in answer.err


def test_a_further_seed_gives_the_mean_and_the_range(done: Path, tnp) -> None:
    answer = tnp("table", "mini.toml", "-o", "out", "--seeds", 2, "--rows", "ful*")
    assert answer.code == 0, answer.err
    assert [line.split()[2] for line in said(answer)] == ["train", "eval"]
    full, few = stored(done / "out")["rows"]
    values = full["ours"]["frechet"]["values"]
    assert full["ours"]["frechet"]["mean"] == pytest.approx(sum(values) / 2)
    assert (full["ours"]["frechet"]["lowest"], full["ours"]["frechet"]["highest"]) == (
        min(values),
        max(values),
    )
    assert len(few["ours"]["frechet"]["values"]) == 1
    page = (done / "out" / "table.md").read_text()
    assert f"({min(values):.1f} to {max(values):.1f})" in page
    assert "[1 of 2]" in page
    assert "**1 of 4 runs are not complete.**" in page


@pytest.mark.parametrize("rows", [["--rows", "fu*, few"], ["--rows", "fu*", "--rows", "few"]])
def test_rows_are_named_by_commas_or_one_by_one(rows: list[str], done: Path, tnp) -> None:
    answer = tnp("table", "mini.toml", "-o", "new", *rows, "--dry-run")
    assert answer.code == 0, answer.err
    assert answer.err.count("left: tnp train") == 2


def test_a_report_that_is_of_other_weights_or_gone_is_made_again(done: Path, tnp) -> None:
    (done / "out" / "runs" / "few-seed0" / "report.json").unlink()
    report = done / "out" / "runs" / "full-seed0" / "report.json"
    report.write_text(report.read_text().replace("tnp eval", "tnp  eval"))
    answer = tnp("table", "mini.toml", "-o", "out")
    assert answer.code == 0, answer.err
    assert [line.split()[2] for line in said(answer)] == ["eval", "eval"]
    assert stored(done / "out")["complete"]


def test_a_training_that_did_not_end_is_resumed(done: Path, tnp) -> None:
    (done / "out" / "runs" / "few-seed0" / "steps.json").unlink()
    plan = tnp("table", "mini.toml", "-o", "out", "--dry-run")
    assert "begun: epoch 1 of 1" in plan.err
    answer = tnp("table", "mini.toml", "-o", "out")
    assert answer.code == 0, answer.err
    assert [line.split()[2] for line in said(answer)] == ["train", "eval"]
    assert said(answer)[0].endswith("--resume")


def test_a_dry_run_shows_the_plan_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tnp
) -> None:
    monkeypatch.chdir(tmp_path)
    table_file(tmp_path)
    before = everything(tmp_path)
    answer = tnp("table", "mini.toml", "--dry-run", "--json", "-s", "train.epochs=2")
    assert answer.code == 0, answer.err
    assert everything(tmp_path) == before
    assert (
        "tnp train small.toml -s data.missing=0.7 -s train.epochs=2 --seed 0 -o tables/mini/runs"
        in answer.err
    )
    assert not answer.json["complete"]
    assert answer.json["settings"] == ["train.epochs=2"]


def test_other_settings_need_overwrite_and_are_given_to_every_row(done: Path, tnp) -> None:
    words = ["table", "mini.toml", "-o", "out", "-s", "model.hidden=12"]
    refused = tnp(*words)
    assert refused.code == 2
    assert "made with other settings: model.hidden" in refused.error
    answer = tnp(*words, "--overwrite")
    assert answer.code == 0, answer.err
    assert len(said(answer)) == 4
    for name in ("full-seed0", "few-seed0"):
        config = json.loads((done / "out" / "runs" / name / "config.json").read_text())
        assert config["model"]["hidden"] == 12
    assert tnp(*words, "--overwrite", "-q").err == ""


def test_settings_of_another_family_leave_a_run_what_it_is(done: Path, tnp) -> None:
    before = everything(done / "out" / "runs")
    answer = tnp("table", "mini.toml", "-o", "out", "-s", "gan.penalty=3", "--dry-run", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["complete"]
    assert everything(done / "out" / "runs") == before


def test_a_failing_row_costs_only_itself(done: Path, tnp, monkeypatch: pytest.MonkeyPatch) -> None:
    from tnprior_cli import training

    run = training.run_training

    def sometimes(planned: Any, speech: Any) -> Any:
        if "full" in str(planned.path):
            raise RuntimeError("broken")
        return run(planned, speech)

    monkeypatch.setattr(training, "run_training", sometimes)
    answer = tnp("table", "mini.toml", "-o", "new")
    assert answer.code == 1
    assert "1 of 2 runs failed: full-seed0" in answer.err
    assert "ended with exit code 1: internal error at " in answer.err
    assert "RuntimeError: broken" in answer.err
    full, few = stored(done / "new")["rows"]
    assert "broken" in full["runs"][0]["failure"]
    assert few["ours"]["frechet"]["mean"] > 0
    assert "broken" in (done / "new" / "table.md").read_text()
    monkeypatch.setattr(training, "run_training", run)
    again = tnp("table", "mini.toml", "-o", "new")
    assert again.code == 0, again.err
    assert stored(done / "new")["complete"]


def test_an_interruption_is_130_and_keeps_what_there_is(
    done: Path, tnp, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tnprior_cli import training
    from tnprior_models.training import TrainingInterrupted

    def interrupted(planned: Any, speech: Any) -> None:
        raise TrainingInterrupted("stopped by SIGINT after epoch 0, step 1: resume it")

    monkeypatch.setattr(training, "run_training", interrupted)
    answer = tnp("table", "mini.toml", "-o", "out", "--seeds", 2)
    assert answer.code == 130
    assert answer.error == "tnp: error: interrupted; run the same command again to continue"
    full, few = stored(done / "out")["rows"]
    assert len(full["ours"]["frechet"]["values"]) == len(few["ours"]["frechet"]["values"]) == 1
    assert [run["standing"] for run in full["runs"]] == ["done", "begun: epoch 0 of 1"]


@pytest.mark.slow
def test_ctrl_c_is_130_and_the_same_command_goes_on(done: Path, command_line: list[str], tnp) -> None:
    words = ["table", "mini.toml", "-o", "new", "--rows", "full", "-s", "train.epochs=2000"]
    process = subprocess.Popen([*command_line, *words], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if line.startswith("epoch 2/"):
            process.send_signal(signal.SIGINT)
            break
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, [*seen, err]
    assert err.splitlines()[-1].startswith("tnp: error: interrupted; run the same command again")
    plan = tnp(*words, "--dry-run")
    assert "--resume" in plan.err


@pytest.fixture
def fit_prior(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """A stand-in for `tnp fit-prior` that copies the run; the calls it received."""
    from tnprior_cli.main import app

    calls: list[tuple[str, ...]] = []

    def fit(run: Path, out: Path, settings: list[str], seed: int, overwrite: bool, quiet: bool) -> None:
        calls.append((run.name, *settings, str(seed)))
        shutil.copytree(run, out, dirs_exist_ok=overwrite, ignore=shutil.ignore_patterns("steps.json"))

    monkeypatch.setattr(
        app, "registered_commands", [*_others(app), CommandInfo("fit-prior", callback=_typed(fit))]
    )
    return calls


def _others(app: Any) -> list[CommandInfo]:
    return [item for item in app.registered_commands if item.name != "fit-prior"]


def _typed(fit: Callable[..., None]) -> Callable[..., None]:
    from typing import Annotated

    import typer

    def command(
        run: Path,
        out: Annotated[Path, typer.Option("-o")],
        settings: Annotated[list[str], typer.Option("-s")],
        seed: Annotated[int, typer.Option("--seed")],
        overwrite: Annotated[bool, typer.Option("--overwrite")] = False,
        quiet: Annotated[bool, typer.Option("-q")] = False,
    ) -> None:
        fit(run, out, settings, seed, overwrite, quiet)

    return command


def test_a_prior_is_fitted_to_the_run_of_another_row(
    done: Path, fit_prior: list[tuple[str, ...]], tnp
) -> None:
    table_file(done, TABLE + FIT)
    words = ["table", "mini.toml", "-o", "out", "--rows", "fitted", "-s", "prior.components=3"]
    answer = tnp(*words)
    assert answer.code == 0, answer.err
    assert fit_prior == [("full-seed0", "prior.rank=3", "prior.components=3", "0")]
    assert [line.split()[2] for line in said(answer)] == ["fit-prior", "eval"]
    assert stored(done / "out")["rows"][2]["ours"]["frechet"]["mean"] > 0
    assert said(tnp(*words)) == []
    (
        done / "out" / "runs" / "full-seed0" / "steps.json"
    ).unlink()  # the base is trained on, which here changes nothing
    assert tnp(*words).code == 0
    assert len(fit_prior) == 1


def test_a_row_that_builds_on_a_failed_one_is_not_tried(
    done: Path, fit_prior: list[tuple[str, ...]], tnp, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tnprior_cli import training

    def broken(planned: Any, speech: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(training, "run_training", broken)
    table_file(done, TABLE + FIT)
    answer = tnp("table", "mini.toml", "-o", "new", "--rows", "fitted")
    assert answer.code == 1
    assert "2 of 2 runs failed: full-seed0, fitted-seed0" in answer.err
    assert fit_prior == []


def test_the_names_of_columns_are_those_of_real_reports(
    finished: Path, faces_run: Path, tnp, tmp_path: Path
) -> None:
    report = tmp_path / "several.json"  # requests are violated attribute by attribute, of several
    words = (
        "-n",
        "20",
        "-k",
        "2",
        "--bounded",
        "20",
        "--classifier-steps",
        "12",
        "--no-figures",
        "-o",
        report,
    )
    assert tnp("eval", faces_run, *words).code == 0
    reports = (finished / "out" / "runs" / "full-seed0" / "report.json", report)
    measured = {name for path in reports for name in json.loads(path.read_text())["values"]}
    for name in measured - {"bound/effective-samples", "joint-bound/effective-samples"}:
        assert check_quantity(name) == name
    assert {name for name in NAMES if not name.startswith("inception")} <= measured
    for name in ("imputation/ece/hat", "bound/iwae-100-bits", *(f"{family}/hat" for family in FAMILIES)):
        assert check_quantity(name) == name
    for name in ("bound/iwae-x", "joint-bound/iwae-100-bits", "diversity", "imputation"):
        with pytest.raises(UsageError, match="unknown number of a report"):
            check_quantity(name)


def test_the_table_survives_a_move(done: Path, tnp) -> None:
    os.rename("out", "moved")
    answer = tnp("table", "mini.toml", "-o", "moved")
    assert answer.code == 0, answer.err
    assert said(answer) == []
