"""Stub."""

from tnprior_cli.options import Run, speaks
from tnprior_cli.output import Output


@speaks
def evaluate(output: Output, run: Run) -> None:
    """Stub."""
    output.say(str(run))
