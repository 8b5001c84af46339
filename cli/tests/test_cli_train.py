"""Training: the run directory, reproduction, resuming, refusals, interruption, kills."""

import json
import random
import re
import signal
import subprocess
import time
import tomllib
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tnprior_cli.build import build_data
from tnprior_cli.settings import resolve

FILES = {
    *("config.json", "config.toml", "model.safetensors", "attributes.json", "README.md"),
    *("metrics.jsonl", "samples", "checkpoints", "env.json"),
}


def same_weights(first: Path, second: Path) -> bool:
    one, two = (load_file(path / "model.safetensors") for path in (first, second))
    return one.keys() == two.keys() and all((one[name] == two[name]).all() for name in one)


def test_a_run_holds_what_the_design_says(digits_run: Path) -> None:
    assert {path.name for path in digits_run.iterdir()} == FILES
    config = json.loads((digits_run / "config.json").read_text())
    assert config["data"]["missing"] == 0.3
    attributes = json.loads((digits_run / "attributes.json").read_text())
    (digit,) = attributes["attributes"]
    assert attributes["shape"] == [1, 8, 8]
    assert digit["labels"] == list("0123456789")
    assert 0.25 < digit["missing"] < 0.35
    epochs = [json.loads(line)["epoch"] for line in (digits_run / "metrics.jsonl").read_text().splitlines()]
    assert epochs == [1, 2]
    assert "tnp sample" in (digits_run / "README.md").read_text()
    assert (digits_run / "samples" / "epoch-0002.png").is_file()


def test_its_config_reproduces_it(digits_run: Path, tnp, tmp_path: Path) -> None:
    toml = tomllib.loads((digits_run / "config.toml").read_text())
    assert toml["train"]["epochs"] == 2
    assert tnp("train", digits_run / "config.toml", "-o", tmp_path / "again", "-q").code == 0
    assert same_weights(digits_run, tmp_path / "again")


def test_resuming_extends_and_ends_where_one_run_would(digits_run: Path, tnp, tmp_path: Path) -> None:
    first = tnp("train", digits_run, "-s", "train.epochs=1", "-o", tmp_path / "run", "-q")
    assert first.code == 0, first.err
    more = tnp("train", tmp_path / "run", "--resume", "-s", "train.epochs=2")
    assert more.code == 0, more.err
    assert "epoch 2/2" in more.err
    assert "epoch 1/2" not in more.err
    assert same_weights(digits_run, tmp_path / "run")
    assert "epochs = 2" in (tmp_path / "run" / "config.toml").read_text()


LED = ("model.attribute_lead=8", "model.attribute_lead_updates=20")


@pytest.mark.parametrize("settings", [LED, ("prior.attribute_weight=3",), ("train.shift=1",)], ids=str)
def test_what_changes_with_the_update_or_epoch_is_resumed(
    settings: tuple[str, ...], digits_run: Path, tnp, tmp_path: Path
) -> None:
    words = [word for text in settings for word in ("-s", text)]
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    assert tnp("train", digits_run, *words, "-o", whole, "-q").code == 0
    assert tnp("train", digits_run, *words, "-s", "train.epochs=1", "-o", parted, "-q").code == 0
    assert tnp("train", parted, "--resume", "-s", "train.epochs=2", "-q").code == 0
    assert same_weights(whole, parted)
    assert not same_weights(whole, digits_run)


def test_the_share_of_observed_labels_divides_their_weight(digits_run: Path, tnp, tmp_path: Path) -> None:
    words = ["train", digits_run, "-s", "train.epochs=1", "-s", "train.validation=0", "-q"]
    observed = build_data(resolve("digits", ["data.missing=0.3"]).data, "train").observed
    weight = 60 / float(observed.double().mean())
    for name, settings in {
        "asked": ("model.attribute_rescale=true", "model.attribute_weight=60"),
        "by hand": (f"model.attribute_weight={weight!r}",),
        "plain": ("model.attribute_weight=60",),
    }.items():
        asked = [word for text in settings for word in ("-s", text)]
        assert tnp(*words, *asked, "-o", tmp_path / name).code == 0
    assert same_weights(tmp_path / "asked", tmp_path / "by hand")
    assert not same_weights(tmp_path / "asked", tmp_path / "plain")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["digits", "--resume"], "begun with other settings of .*model.latents"),
        (["RUN", "--resume", "-s", "train.lr=1"], "begun with other settings of train.lr"),
        (["RUN"], "is a run already; continue it with --resume"),
        (["digits"], "is a run already"),
        (["digitz"], "did you mean 'digits'"),
        (["digits", "-s", "train.epoch=1"], "did you mean 'train.epochs'"),
        (["digits", "-s", "data.name=digitz"], "did you mean 'digits'"),
        (["digits", "-s", "data.attributes=digt"], "did you mean 'digit'"),
        (["digits", "-d", "gpu"], "unknown device 'gpu'"),
        (["digits", "-d", "cuda:77"], "CUDA devices found"),
        (["digits", "-s", "prior.kind=mixture", "-s", "prior.initialize=mixtures"], "set order and start"),
        (["digits", "-s", "prior.order=information"], "set initialize too"),
        (["digits", "-s", "prior.order=information", "-s", "prior.initialize=axes"], "codes as they are"),
        (["digits", "--devices", "0"], "--devices"),
        (["digits", "--no-such-option"], "--no-such-option"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    words: list[str], message: str, digits_run: Path, tnp, tmp_path: Path
) -> None:
    before = sorted(digits_run.parent.rglob("*"))
    place = digits_run if "run" in message or "begun" in message else tmp_path / "new"
    answer = tnp("train", *[digits_run if word == "RUN" else word for word in words], "-o", place)
    assert answer.code == 2
    assert re.search(message, answer.error), answer.error
    assert sorted(digits_run.parent.rglob("*")) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_two_processes_train_what_one_does(tiny: tuple[str, ...], tnp_process, tmp_path: Path) -> None:
    words = ["train", "digits", *tiny, "-s", "train.epochs=2"]
    for devices in (1, 2):
        answer = tnp_process(*words, "--devices", devices, "-o", tmp_path / f"run{devices}")
        assert answer.code == 0, answer.err
        assert answer.err.count("epoch 2/2") == 1
    one, two = (load_file(tmp_path / f"run{devices}" / "model.safetensors") for devices in (1, 2))
    assert one.keys() == two.keys()
    assert tnp_process("sample", tmp_path / "run2", "-n", 2, "-o", tmp_path / "s").code == 0


def test_devices_and_torchrun_exclude_each_other(
    tnp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "0")
    answer = tnp("train", "digits", "--devices", 2, "-d", "cpu", "-o", tmp_path / "run")
    assert answer.code == 2
    assert "torchrun" in answer.error


def test_a_dry_run_shows_the_plan_and_writes_nothing(tnp, tiny, tmp_path: Path) -> None:
    answer = tnp("train", "digits", *tiny, "-o", tmp_path / "run", "--dry-run", "--json")
    assert answer.code == 0
    assert answer.json["model"]["width"] == 8
    assert "1437 objects" in answer.err or "objects of 1x8x8" in answer.err
    assert list(tmp_path.iterdir()) == []


def test_overwrite_replaces_a_run_and_nothing_else(tnp, tiny, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("")
    answer = tnp("train", "digits", *tiny, "-o", tmp_path / "thesis", "--overwrite")
    assert answer.code == 2
    assert "is not a run directory, so --overwrite leaves it alone" in answer.error


@pytest.fixture
def start(command_line: list[str], tiny: tuple[str, ...]):
    """Starts a long training run in a process of its own."""

    def begin(run: Path, *more: str) -> "subprocess.Popen[str]":
        words = ["train", "digits", "-s", "train.epochs=400", *tiny, "-o", str(run), *more]
        return subprocess.Popen(
            [*command_line, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return begin


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_interrupt_writes_a_checkpoint_and_exits_with_130(tmp_path: Path, tnp, start) -> None:
    process = start(tmp_path / "run")
    wait_for(tmp_path / "run" / "metrics.jsonl", process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "SIGINT" in err
    sampled = tnp("sample", tmp_path / "run", "-n", 2, "-o", tmp_path / "s")
    assert sampled.code == 0, sampled.err
    done = json.loads((tmp_path / "run" / "checkpoints" / "last" / "state.json").read_text())
    assert done


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)], ids=["3-kills", "20-kills"])
def test_a_killed_run_is_always_usable(kills: int, tmp_path: Path, tnp, tiny, start) -> None:
    """After SIGKILL at any moment the directory is sampled from, or resumed; each kill hits the resumed run."""
    run, moments = tmp_path / "run", random.Random(kills)
    for _ in range(kills):
        process = start(run, "--resume", "-s", "train.checkpoint_steps=2")
        time.sleep(moments.uniform(0.5, 7.0))
        process.kill()
        process.communicate()
        sampled = tnp("sample", run, "-n", 2, "-o", tmp_path / "s", "--overwrite")
        assert sampled.code in (0, 3), sampled.err
        if sampled.code == 3:
            assert "--resume" in sampled.error or "no such directory" in sampled.error
    metrics = run / "metrics.jsonl"  # absent where a busy machine let no epoch end before a kill
    first = metrics.read_text().splitlines()[:1] if metrics.exists() else []
    resumed = tnp("train", "digits", *tiny, "-o", run, "--resume", "-s", "train.epochs=2", "-q",
                  "-s", "train.checkpoint_steps=2")  # fmt: skip
    assert resumed.code == 0, resumed.err
    assert [json.loads(line)["epoch"] for line in first] in ([], [1])
    assert tnp("sample", run, "-n", 2, "-o", tmp_path / "last").code == 0
