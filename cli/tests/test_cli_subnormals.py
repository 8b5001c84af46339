"""Subnormal numbers count as zero in the process of a command, in all of its threads, and nowhere else."""

import subprocess
import sys

import pytest
import torch

PROGRAM = """
import sys
from tnprior_cli.subnormals import PROCESS
PROCESS.ours = sys.argv[1] == "script"
import tnprior_cli.build
import torch
torch.set_num_threads(2)
small = torch.full((1 << 20,), 1e-30)  # long enough for a second thread
print(int((small * 1e-10 == 0).sum()))
"""


def zeros(kind: str) -> int:
    command = [sys.executable, "-c", PROGRAM, kind]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_every_thread_of_a_command_counts_them_as_zero() -> None:
    if not torch.set_flush_denormal(False):
        pytest.skip("this processor has no such mode")
    assert zeros("script") == 1 << 20


def test_an_import_changes_nothing() -> None:
    assert zeros("import") == 0


def test_the_script_says_that_the_process_is_its_own() -> None:
    program = (
        "import sys; from tnprior_cli.main import run; from tnprior_cli.subnormals import PROCESS\n"
        "sys.argv = ['tnp', '--version']\n"
        "try: run()\nfinally: print(PROCESS.ours)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert answer.stdout.splitlines()[-1] == "True"
