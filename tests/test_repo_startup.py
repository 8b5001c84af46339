"""Help answers at once: under half a second of processor time, and never by way of torch."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer

from tnprior_cli.main import app

LIMIT = 0.5  # seconds
PROGRAM = """
import contextlib, json, sys, time
from tnprior_cli.main import main
with contextlib.redirect_stdout(sys.stderr):
    code = main(sys.argv[1:])
heavy = [name for name in ("torch", "torchvision", "polars", "sklearn", "scipy") if name in sys.modules]
print(json.dumps([code, time.process_time(), heavy]))
"""


def paths(command: object, *names: str) -> Iterator[tuple[str, ...]]:
    """Every command and every group, as the words that lead there."""
    yield names
    for name, child in getattr(command, "commands", {}).items():
        yield from paths(child, *names, name)


COMMANDS = list(paths(typer.main.get_command(app)))


def ask(*words: str) -> tuple[int, float, list[str], str]:
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=True
    )
    code, seconds, heavy = json.loads(answer.stdout.splitlines()[-1])
    return code, seconds, heavy, answer.stderr


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "tnp")
def test_help_is_quick_and_light(words: tuple[str, ...]) -> None:
    code, seconds, heavy, said = ask(*words, "--help")
    assert (code, heavy) == (0, [])
    assert "Usage" in said
    again = (ask(*words, "--help")[1] for _ in range(4))  # a busy machine slows even processor time
    assert seconds < LIMIT or any(other < LIMIT for other in again)
