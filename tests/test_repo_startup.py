"""Help answers at once: nothing heavy is imported for it (timing it is a benchmark, not a test)."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer

from tnprior_cli.main import app

# An installed program keeps its bytecode; without that, every start would compile the libraries anew.
CACHING = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
PROGRAM = """
import contextlib, json, sys
from tnprior_cli.main import main
with contextlib.redirect_stdout(sys.stderr):
    code = main(sys.argv[1:])
slow = ("torch", "torchvision", "polars", "sklearn", "scipy", "numpy", "PIL", "safetensors")
print(json.dumps([code, [name for name in slow if name in sys.modules]]))
"""


def paths(command: object, *names: str) -> Iterator[tuple[str, ...]]:
    """Every command and every group, as the words that lead there."""
    yield names
    for name, child in getattr(command, "commands", {}).items():
        yield from paths(child, *names, name)


COMMANDS = list(paths(typer.main.get_command(app)))


def ask(*words: str) -> tuple[int, list[str], str]:
    command = [sys.executable, "-c", PROGRAM, *words]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=CACHING)
    code, heavy = json.loads(answer.stdout.splitlines()[-1])
    return code, heavy, answer.stderr


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "tnp")
def test_help_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    code, heavy, said = ask(*words, "--help")
    assert (code, heavy) == (0, [])
    assert "Usage" in said
