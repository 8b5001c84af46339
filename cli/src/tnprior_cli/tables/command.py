"""A command line of `tnp`: what a user would type, and running it in this process."""

import shlex
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

from tnprior_cli.errors import EXIT_FAILURE, EXIT_USAGE, UsageError, exit_code_of, known_errors, message_of
from tnprior_cli.matching import unknown
from tnprior_cli.options import SPEAKER
from tnprior_cli.output import Output

# What Python and torch raise where a command did not foresee something: one run's defect must not cost the
# user the other runs of the table.
_DEFECTS = (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Command:
    """A command line in parts.

    Args:
        name: the command.
        subject: its positional argument.
        choices: the options that decide what comes out.
        out: the run directory to write; None where the command writes into its subject.
        place: the options that do not change the result: where the data are, which device.
    """

    name: str
    subject: str
    choices: tuple[str, ...]
    out: Path | None = None
    place: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """What decides the result, wherever it is computed and kept."""
        return shlex.join([self.name, *self.choices])

    def words(self, *more: str) -> list[str]:
        """The command line without the leading `tnp`."""
        target = [] if self.out is None else ["-o", str(self.out)]
        return [self.name, self.subject, *self.choices, *target, *self.place, *more]

    def text(self, *more: str) -> str:
        """The command line as one would type it."""
        return shlex.join(["tnp", *self.words(*more)])


@dataclass(frozen=True)
class Finished:
    """How a command line ended."""

    code: int
    message: str = ""


def check_command(command: Command) -> None:
    """Reads a command line without running it.

    Raises:
        UsageError: there is no such command or option, or a value is not allowed.
    """
    known = _commands()
    if command.name not in known:
        raise UsageError(unknown("command", command.name, known) + f", wanted for: {command.text()}")
    try:
        known[command.name].make_context(command.name, command.words()[1:])
    except typer.TyperException as error:
        raise UsageError(f"{command.text()}: {error.format_message()}") from error


def run_command(words: Sequence[str], speech: Output) -> Finished:
    """Runs a command line as `tnp` itself does, with the present speech; a failure is answered, not raised.

    stdout stays free for the answer of the command that asked.
    """
    token = SPEAKER.set(Output())
    try:
        with redirect_stdout(sys.stderr):
            return Finished(_call([*words, *_flags(speech)]))
    except KeyboardInterrupt as error:
        return _failed(error, 130, speech)
    except typer.TyperException as error:
        return Finished(EXIT_USAGE, error.format_message())
    except known_errors() as error:
        return _failed(error, exit_code_of(error), speech)
    except _DEFECTS as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"internal error at {place.filename}:{place.lineno}: {type(error).__name__}: "
        return _failed(error, EXIT_FAILURE, speech, kind)
    finally:
        SPEAKER.reset(token)


def _failed(error: BaseException, code: int, speech: Output, prefix: str = "") -> Finished:
    if speech.verbose and not isinstance(error, KeyboardInterrupt):
        traceback.print_exception(error)
    return Finished(code, prefix + message_of(error))


def _flags(speech: Output) -> list[str]:
    choices = {"-q": speech.quiet, "-v": speech.verbose, "--no-color": not speech.color}
    return [flag for flag, chosen in choices.items() if chosen]


def _call(words: list[str]) -> int:
    return _application().main(words, prog_name="tnp", standalone_mode=False) or 0


def _commands() -> dict[str, Any]:
    return dict(_application().commands)


def _application() -> Any:
    from tnprior_cli.main import app  # main itself imports the command that needs this

    return get_command(app)
