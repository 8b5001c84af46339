"""What a loader is asked for, and finding the files that it needs."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import md5
from pathlib import Path

from .errors import DamagedFileError, MissingFilesError, listed
from .images import Fit


@dataclass(frozen=True)
class Request:
    """One part of a data set.

    Args:
        split: which part.
        root: folder with the files.
        fit: crop, size and channels.
        verify: compare checksums of files on disk.
        cache: folder for decoded images; None for the default.
    """

    split: str
    root: Path
    fit: Fit = field(default_factory=Fit)
    verify: bool = True
    cache: Path | None = None


def default_root() -> Path:
    """`$TNPRIOR_DATA_ROOT`, else `tnprior` in the user's data folder (`$XDG_DATA_HOME` or `~/.local/share`).

    >>> default_root().name == "tnprior" or "TNPRIOR_DATA_ROOT" in os.environ
    True
    """
    if folder := os.environ.get("TNPRIOR_DATA_ROOT"):
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share").expanduser() / "tnprior"


def find(folders: Iterable[Path], names: Iterable[str]) -> Path | None:
    """The first of the names that exists in the first folder that has one."""
    names = tuple(names)
    return next((folder / name for folder in folders for name in names if (folder / name).exists()), None)


def not_found(name: str, files: Iterable[str], folders: Sequence[Path]) -> MissingFilesError:
    """The error for files that are nowhere: what was looked for, where, and how to get it."""
    places = listed(str(folder) for folder in folders)
    return MissingFilesError(
        f"{name}: looked for {listed(files)} in {places} and did not find all of them. Download them with "
        f"`tnp data download {name}` (in Python: load({name!r}, download=True)), or name the folder that has "
        "them with --root (root=)"
    )


def check_md5(path: Path, expected: str | None) -> None:
    """Compare a file with its published checksum; None when there is nothing to compare with.

    Raises:
        DamagedFileError: it differs.
    """
    if expected is None:
        return
    digest = md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != expected:
        raise DamagedFileError(
            f"{path}: expected md5 {expected}, got {digest.hexdigest()}: truncated, or not the published file; "
            "fetch it again, or accept it as it is with verify=False"
        )
