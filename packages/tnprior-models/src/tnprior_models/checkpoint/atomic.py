"""Replacing a file so that a reader, or a process killed at any instant, sees the old one or the new one.

The bytes go to a temporary name in the same directory, are forced to the disk and renamed over the old
file; then the directory itself is forced to the disk, so that the rename survives a power cut too.
"""

import contextlib
import os
from pathlib import Path

from tnprior_models.errors import ModelError

_PREFIX = ".tnprior-"
_SUFFIX = ".partial"


def replace_file(path: Path, payload: bytes) -> None:
    """Make `path` hold `payload`, or leave it exactly as it was.

    Creates the directories above `path`.

    Raises:
        ModelError: the operating system refused (full disk, no permission, ...); nothing is left behind.
    """
    temporary = path.with_name(f"{_PREFIX}{path.name}-{os.getpid()}{_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(temporary, payload)
        os.replace(temporary, path)
        _sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise ModelError(
            f"cannot write {path} ({len(payload)} bytes): {error.strerror or error}. What was there before "
            "is intact; free some space or choose another directory, then resume"
        ) from error


def remove_partial_files(directory: Path) -> None:
    """Remove what `replace_file` left in `directory` when its process was killed; nothing else.

    Call it only when no other process writes there.
    """
    for leftover in directory.glob(f"{_PREFIX}*{_SUFFIX}"):
        leftover.unlink(missing_ok=True)


def _write(path: Path, payload: bytes) -> None:
    with path.open("wb") as file:
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
