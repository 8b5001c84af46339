"""What a command can fail with, and the exit code that tells a script which it was."""

import errno
import sys

EXIT_FAILURE, EXIT_USAGE, EXIT_DATA, EXIT_IMPOSSIBLE, EXIT_THRESHOLD, EXIT_INTERRUPTED = 1, 2, 3, 4, 5, 130

# Errors of the packages below, by where they are defined. They are looked up among the modules already
# imported: an error of a package that was never imported cannot have been raised, and `tnp --help` must
# not import torch to find that out.
_FOREIGN = (  # from the particular to the general: the first that fits decides
    ("tnprior_core", "ImpossibleEvidenceError", EXIT_IMPOSSIBLE),
    ("tnprior_data", "UnknownNameError", EXIT_USAGE),
    ("tnprior_data", "DataError", EXIT_DATA),
    ("tnprior_models.training.interrupt", "TrainingInterrupted", EXIT_INTERRUPTED),
    ("tnprior_models.checkpoint", "CheckpointError", EXIT_DATA),
    ("tnprior_models", "CapabilityError", EXIT_USAGE),
    ("tnprior_models", "ModelError", EXIT_FAILURE),
    ("tnprior_eval", "EvalError", EXIT_FAILURE),
    ("tnprior_core", "TnpriorError", EXIT_USAGE),
    ("safetensors", "SafetensorError", EXIT_DATA),
)


class CliError(Exception):
    """A failure of a command with one line for the user; the base of the others (exit code 1)."""

    exit_code = EXIT_FAILURE


class UsageError(CliError):
    """The command line or the configuration cannot be used as given (exit code 2)."""

    exit_code = EXIT_USAGE


class BadDataError(CliError):
    """A file, data set, run directory or checkpoint is not what it should be (exit code 3)."""

    exit_code = EXIT_DATA


class ImpossibleRequestError(CliError):
    """The condition has probability zero under the model (exit code 4)."""

    exit_code = EXIT_IMPOSSIBLE


class ThresholdMissedError(CliError):
    """A number is on the wrong side of a `--require` threshold (exit code 5)."""

    exit_code = EXIT_THRESHOLD


def known_errors() -> tuple[type[BaseException], ...]:
    """Every exception type that is reported as one line; anything else is a defect of ours."""
    loaded = [kind for kind, _ in _loaded_foreign()]
    return (CliError, OSError, *loaded)


def exit_code_of(error: BaseException) -> int:
    """The exit code of an error.

    >>> exit_code_of(UsageError("no such thing")), exit_code_of(FileNotFoundError("x"))
    (2, 3)
    """
    if isinstance(error, CliError):
        return error.exit_code
    for kind, code in _loaded_foreign():
        if isinstance(error, kind):
            return code
    if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
        return EXIT_DATA
    return EXIT_FAILURE


def message_of(error: BaseException) -> str:
    """The error as one line, whatever it held.

    >>> message_of(OSError(28, "No space left on device", "out.csv"))
    'no space left on the disk that holds out.csv; free some and run the command again'
    """
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        place = error.filename or "the output"
        return f"no space left on the disk that holds {place}; free some and run the command again"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _loaded_foreign() -> list[tuple[type[BaseException], int]]:
    found = []
    for module, name, code in _FOREIGN:
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None:
            found.append((kind, code))
    return found
