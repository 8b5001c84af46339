"""The command as the shell sees it: start-up, streams, completion, one line per failure, a full disk."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tnprior_cli import errors
from tnprior_cli.errors import EXIT_FAILURE, exit_code_of, message_of
from tnprior_cli.output import Output, jsonable


def test_help_never_loads_torch() -> None:
    program = "import sys; from tnprior_cli.main import main; main(['--help']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("words", [["--version"], ["-V"]])
def test_the_version(words: list[str], tnp) -> None:
    from importlib.metadata import version

    assert tnp(*words).out == f"tnp {version('tnprior-cli')}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["smaple"], "Did you mean 'sample'"),
        (["sample", "x", "--gven", "a=1"], "--given"),
        (["sample"], "RUN"),
        (["train", "digits", "--missing", "2"], "--missing"),
        (["data", "lsit"], "Did you mean 'list'"),
    ],
)
def test_a_typing_error_is_one_line_with_the_closest_match(words: list[str], message: str, tnp) -> None:
    answer = tnp(*words)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.error


@pytest.mark.parametrize("words", [[], ["data"]])
def test_without_a_command_there_is_help_and_exit_code_2(words: list[str], tnp) -> None:
    answer = tnp(*words)
    assert answer.code == 2
    assert "Usage" in answer.out + answer.err


def test_verbose_adds_the_traceback(tnp, tmp_path: Path) -> None:
    plain, verbose = tnp("info", tmp_path), tnp("info", tmp_path, "-v")
    assert plain.code == verbose.code == 3
    assert "Traceback" not in plain.err
    assert "Traceback" in verbose.err
    assert verbose.err.splitlines()[-1] == plain.error


def test_quiet_says_nothing_but_the_answer(digits_run: Path, tnp) -> None:
    answer = tnp("info", digits_run, "-q", "--json")
    assert answer.err == ""
    assert answer.json["trained"]


def test_a_defect_is_one_line_too(digits_run: Path) -> None:
    program = "import tnprior_cli.rundir as r; r.open_run = None; from tnprior_cli.main import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", program, "info", str(digits_run)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("tnp: internal error: TypeError")
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_that_leaves_early_is_no_error(command_line: list[str]) -> None:
    words = " ".join(f"'{word}'" for word in [*command_line, "recipes"])
    done = subprocess.run(f"{words} | true", shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("", {"male=", "hat=", "smiling="}),
        ("m", {"male="}),
        ("male=", {"male=0", "male=1"}),
        ("male=1,h", {"male=1,hat="}),
        ("hat!=0|", {"hat!=0|0", "hat!=0|1"}),
    ],
)
def test_the_shell_completes_attributes_and_labels(
    typed: str, offered: set[str], faces_run: Path, tnp_process
) -> None:
    words = f"tnp sample {faces_run} --given {typed}"
    environment = {**os.environ, "_TNP_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": words}
    answer = tnp_process(env=environment)
    for text in offered:
        assert f'"{text}"' in answer.out, answer
    assert answer.out.count('"') // 2 == len(offered)


def limited(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("command", ["sample", "impute", "train"])
def test_a_full_disk_is_one_line_and_no_partial_output(
    command: str, digits_run: Path, tiny: tuple[str, ...], tnp_process, tmp_path: Path
) -> None:
    words = {
        "sample": ["sample", digits_run, "-n", 200],
        "impute": ["impute", digits_run, "digits"],
        "train": ["train", "digits", *tiny, "-s", "train.epochs=1", "-q"],
    }[command]
    place = tmp_path / "place"
    place.mkdir()
    answer = tnp_process(*words, "-o", place / "out", preexec_fn=lambda: limited(3_000))
    assert answer.code == 1, answer.err
    assert "tnp: error:" in answer.err
    assert "Traceback" not in answer.err
    left = [path.name for path in place.iterdir()]
    if command == "train":
        resumed = tnp_process(*words, "--resume", "-o", place / "out")
        assert resumed.code == 0, resumed.err
    else:
        assert left == []


def test_errors_have_the_documented_codes() -> None:
    kinds = {
        errors.CliError: 1,
        errors.UsageError: 2,
        errors.BadDataError: 3,
        errors.ImpossibleRequestError: 4,
        errors.ThresholdMissedError: 5,
    }
    assert {kind: exit_code_of(kind("x")) for kind in kinds} == kinds
    assert exit_code_of(OSError(28, "No space left on device")) == EXIT_FAILURE


def test_errors_of_the_packages_below_have_codes_too() -> None:
    import tnprior_core
    import tnprior_data
    import tnprior_eval
    import tnprior_models
    from tnprior_models.checkpoint import CheckpointError
    from tnprior_models.training import TrainingInterrupted

    assert exit_code_of(tnprior_core.ImpossibleEvidenceError("x")) == 4
    assert exit_code_of(tnprior_core.EvidenceError("x")) == 2
    assert exit_code_of(tnprior_data.UnknownNameError("x")) == 2
    assert exit_code_of(tnprior_data.TableError("x")) == 3
    assert exit_code_of(CheckpointError("x")) == 3
    assert exit_code_of(TrainingInterrupted("x")) == 130
    assert exit_code_of(tnprior_models.CapabilityError("x")) == 2
    assert exit_code_of(tnprior_models.ModelError("x")) == 1
    assert exit_code_of(tnprior_eval.EvalError("x")) == 1


def test_messages_are_one_line() -> None:
    assert message_of(ValueError("a\n  b")) == "a b"
    assert (
        message_of(FileNotFoundError(2, "No such file or directory", "x.csv"))
        == "No such file or directory: x.csv"
    )
    assert message_of(ValueError()) == "ValueError"


def test_output_keeps_the_streams_apart(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output()
    output.json({"a": 1})
    output.say("said")
    output.warn("careful")
    output.detail("hidden")
    output.table(["name"], [["[bold]x"]])
    output.done([Path("out")], ["tnp info out"])
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"a": 1}
    assert "hidden" not in captured.err
    assert "[bold]x" in captured.err
    assert captured.err.splitlines()[-2:] == ["wrote out", "next: tnp info out"]


def test_json_is_strict() -> None:
    assert jsonable({1: (float("inf"), Path("x"))}) == {"1": [None, "x"]}
