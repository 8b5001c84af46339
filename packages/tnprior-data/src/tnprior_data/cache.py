"""Decoded images on disk, so that JPEG decoding is paid once per machine and not once per run.

A cache file is named after the content it was decoded from, so it can be deleted at any time and is never
stale. It lies in the user's cache folder, never beside the data, which may be read-only.
"""

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL

VERSION = 1
WORTH_IT = 512

logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """`$TNPRIOR_CACHE`, else `tnprior` in the user's cache folder (`$XDG_CACHE_HOME`, else `~/.cache`).

    >>> cache_folder().is_absolute() or "TNPRIOR_CACHE" in os.environ
    True
    """
    if folder := os.environ.get("TNPRIOR_CACHE"):
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "tnprior"


def cached(
    make: Callable[[], npt.NDArray[np.uint8]],
    count: int,
    folder: Path | None,
    content: Callable[[], tuple[object, ...]],
) -> npt.NDArray[np.uint8]:
    """The array that `make` returns, from the cache where it is there.

    Args:
        make: decodes the `count` images; called when the cache has nothing.
        count: number of images; below 512 the cache is not used.
        folder: where the cache lies; None for `cache_folder()`.
        content: returns everything the result depends on: a digest of the files, crop, size.

    A cache that cannot be read or written costs time, not the run: it is reported to the log.
    """
    if count < WORTH_IT:
        return make()
    words = "\x1f".join(str(part) for part in (VERSION, PIL.__version__, *content()))
    name = hashlib.sha256(words.encode()).hexdigest()
    path = (folder or cache_folder()) / "images" / f"{name}.npy"
    array = _read(path, count)
    if array is None:
        array = make()
        _write(path, array)
    return array


def _read(path: Path, count: int) -> npt.NDArray[np.uint8] | None:
    try:
        with path.open("rb") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        logger.warning("ignoring the cache file %s: %s", path, error)
        return None
    if array.dtype != np.uint8 or array.ndim != 4 or len(array) != count:
        logger.warning("ignoring the cache file %s: it holds %s %s", path, array.dtype, array.shape)
        return None
    return array


def _write(path: Path, array: npt.NDArray[np.uint8]) -> None:
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            np.lib.format.write_array(file, array, allow_pickle=False)
        os.replace(temporary, path)
    except OSError as error:
        logger.warning("cannot keep decoded images in %s: %s", path.parent, error)
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
