"""What the tests of the command share: calling it, and one small run trained once."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

TINY = (
    *("-s", "model.width=8", "-s", "model.hidden=16", "-s", "model.latents=2"),
    *("-s", "prior.rank=2", "-s", "prior.components=2", "-s", "prior.polish=2"),
    *("-s", "prior.initialize=clusters", "-s", "train.warmup=0"),
    *("-s", "train.schedule=constant"),
    *("-s", "train.batch_size=480", "-s", "train.grid_epochs=2"),
)


COMMAND = [sys.executable, "-c", "from tnprior_cli.main import run; run()"]


@dataclass(frozen=True)
class Answer:
    """What a command line gave back."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON on stdout."""
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one line that says what is wrong; fails when there are more or none."""
        lines = [line for line in self.err.splitlines() if line.startswith("tnp: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Decoded images and judges go to a temporary folder."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["XDG_CACHE_HOME"] = str(folder)
    return folder


@pytest.fixture
def tnp(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Runs a command line in this process."""
    from tnprior_cli.main import main

    def call(*arguments: object) -> Answer:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def tnp_process() -> Callable[..., Answer]:
    """Runs a command line in a process of its own."""

    def call(*arguments: object, **options: Any) -> Answer:
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            **options,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture(scope="session")
def command_line() -> list[str]:
    """The words that start the command in a process of its own."""
    return COMMAND


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    """Settings of a model that trains in a second."""
    return TINY


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the digits: two epochs of a model too small to be good, with the refit of its prior."""
    return _trained(tmp_path_factory.mktemp("runs") / "digits", "digits")


@pytest.fixture(scope="session")
def faces_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a folder of faces: three binary attributes, some cells empty; codes that are grids, a ring."""
    folder = tmp_path_factory.mktemp("faces")
    from tnprior_cli.main import main

    words = [
        "data",
        "export",
        "faces",
        "-n",
        "60",
        "--split",
        "test",
        "--missing",
        "0.3",
        "-o",
        str(folder / "data"),
        "-q",
    ]
    assert main(words) == 0
    names = f"data.name={folder / 'data'}"
    other = ("-s", names, "-s", "data.attributes=male,hat,smiling", "-s", "model.latents=16")
    return _trained(folder / "run", "faces", *other)


def _trained(path: Path, recipe: str, *more: str) -> Path:
    from tnprior_cli.main import main

    words = ["train", recipe, "--missing", "0.3", "-s", "train.epochs=2", *TINY, *more, "-o", str(path), "-q"]
    assert main(words) == 0
    return path
