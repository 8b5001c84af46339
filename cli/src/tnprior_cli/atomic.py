"""Writing files and directories so that a reader, or a kill, never meets half of one.

Everything is written under a temporary name in the folder it will live in and renamed at the end; whatever
stops the writing before that (an error, Ctrl-C, a full disk) removes the temporary.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tnprior_cli.errors import UsageError

_OF_FILES = {".csv", ".html", ".jpeg", ".jpg", ".json", ".npz", ".png", ".safetensors", ".toml", ".zip"}


def write_text(path: Path, text: str) -> None:
    """Replaces the file by the text, whole or not at all."""
    with replacing_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it is renamed to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.tmp-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """Yields a temporary directory beside `path`; on success it takes the place of whatever is at `path`."""
    parent = path.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.tmp-", dir=parent))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        _move_into_place(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def require_free(path: Path, *, overwrite: bool, ours: Callable[[Path], bool], noun: str) -> None:
    """Refuses an output path that holds something, before any work is done.

    `--overwrite` replaces what `ours` recognises as an earlier output of the same command, and nothing
    else: `-o ~ --overwrite` must not cost anyone a home directory.

    Raises:
        UsageError: something is there, and it is not ours to replace or `overwrite` is off.
    """
    if not os.path.lexists(path) or (path.is_dir() and not any(path.iterdir())):
        return
    if not overwrite:
        raise UsageError(f"{path} exists already; choose another -o or add --overwrite to replace it")
    if not ours(path):
        raise UsageError(
            f"{path} exists and is not {noun}, so --overwrite leaves it alone; choose another -o"
        )


def require_free_folder(path: Path, *, overwrite: bool, ours: Callable[[Path], bool], noun: str) -> None:
    """As `require_free`, of a folder, whose name must not be that of a picture or a table.

    Raises:
        UsageError: as in `require_free` and `require_folder_name`.
    """
    require_folder_name(path)
    require_free(path, overwrite=overwrite, ours=ours, noun=noun)


def require_folder_name(path: Path) -> None:
    """Refuses the name of a file for a folder to write.

    Raises:
        UsageError: the name ends as those of files that go into such a folder do.
    """
    if path.suffix.lower() in _OF_FILES:
        raise UsageError(
            f"-o names a folder, whose files have names of their own; received {path}, the name of a file; "
            f"try -o {path.with_suffix('')}"
        )


def _move_into_place(temporary: Path, path: Path) -> None:
    if not os.path.lexists(path):
        temporary.rename(path)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.old-", dir=path.absolute().parent))
    path.rename(aside / "old")
    try:
        temporary.rename(path)
    except OSError:
        (aside / "old").rename(path)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
