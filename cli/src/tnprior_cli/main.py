"""The `tnp` command: one line here per command, and the one place where an error becomes an exit code."""

import sys
import traceback
from collections.abc import Sequence
from types import TracebackType
from typing import Annotated

import typer
from typer.main import get_command

from tnprior_cli.commands.data import data
from tnprior_cli.commands.eval import evaluate
from tnprior_cli.commands.fit_prior import fit_prior
from tnprior_cli.commands.hop import hop
from tnprior_cli.commands.impute import impute
from tnprior_cli.commands.info import info
from tnprior_cli.commands.interpolate import interpolate
from tnprior_cli.commands.marginals import marginals
from tnprior_cli.commands.recipes import recipes
from tnprior_cli.commands.sample import sample
from tnprior_cli.commands.table import table
from tnprior_cli.commands.train import train
from tnprior_cli.errors import EXIT_INTERRUPTED, EXIT_USAGE, exit_code_of, known_errors, message_of
from tnprior_cli.options import SPEAKER
from tnprior_cli.output import Output
from tnprior_cli.subnormals import PROCESS

app = typer.Typer(
    name="tnp",
    help="Generate objects from any subset of their attributes, fill in missing attributes, and say how well.",
    epilog="Start with: tnp recipes, then: tnp train digits",
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train")(train)
app.command("fit-prior")(fit_prior)
app.command("sample")(sample)
app.command("impute")(impute)
app.command("eval")(evaluate)
app.command("hop")(hop)
app.command("interpolate")(interpolate)
app.command("marginals")(marginals)
app.command("info")(info)
app.command("recipes")(recipes)
app.command("table")(table)
app.add_typer(data, name="data")


@app.callback(invoke_without_command=True)
def tnp(version: Annotated[bool, typer.Option("-V", "--version", help="Show the version.")] = False) -> None:
    """Options of `tnp` itself; the help text of the application is its own."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"tnp {installed('tnprior-cli')}")
        raise typer.Exit


def main(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code; known failures become one line on stderr."""
    output = Output()
    token = SPEAKER.set(output)
    try:
        # not app(...): that replaces sys.excepthook
        command = get_command(app)
        return command.main(list(arguments), prog_name="tnp", standalone_mode=False) or 0
    except KeyboardInterrupt:
        sys.stderr.write("tnp: interrupted\n")
        return EXIT_INTERRUPTED
    except typer.TyperException as error:
        return _fail(error.format_message(), EXIT_USAGE)
    except known_errors() as error:
        if output.verbose:
            traceback.print_exception(error)
        return _fail(message_of(error), exit_code_of(error))
    finally:
        SPEAKER.reset(token)


def run() -> None:
    """The entry point of the `tnp` script."""
    sys.excepthook = _report_defect
    PROCESS.ours = True
    raise SystemExit(main(sys.argv[1:]))


def _fail(message: str, code: int) -> int:
    if message:
        sys.stderr.write(f"tnp: error: {message}\n")
    return code


def _report_defect(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What nobody foresaw is our defect: one line too, with the whole story at `-v`."""
    if {"-v", "--verbose"} & set(sys.argv):
        traceback.print_exception(kind, error, trace)
    place = traceback.extract_tb(trace)[-1] if trace else None
    where = f" at {place.filename}:{place.lineno}" if place else ""
    sys.stderr.write(
        f"tnp: internal error: {kind.__name__}: {message_of(error)}{where} (-v for the traceback)\n"
    )


if __name__ == "__main__":
    run()
