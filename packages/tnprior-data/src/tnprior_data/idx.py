"""The IDX format of MNIST: a big-endian header, then bytes; read with or without gzip, never unpacked to disk."""

import gzip
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .errors import DamagedFileError

UNSIGNED_BYTE = 0x08
MOST_BYTES = 1 << 31


def read_idx(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes with the given number of dimensions.

    Raises:
        DamagedFileError: not IDX, another number of dimensions, truncated, or too long.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        if packed:
            with gzip.open(path, "rb") as stream:
                return _read(stream.read, dimensions, path)
        with path.open("rb") as file:
            return _read(file.read, dimensions, path)
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedFileError(f"{path}: expected an IDX file, truncated or damaged: {error}") from None


def _read(read: Callable[[int], bytes], dimensions: int, path: Path) -> npt.NDArray[np.uint8]:
    header = read(4 + 4 * dimensions)
    magic = bytes((0, 0, UNSIGNED_BYTE, dimensions))
    if header[:4] != magic or len(header) < 4 + 4 * dimensions:
        raise DamagedFileError(
            f"{path}: expected an IDX file of bytes in {dimensions} dimensions (magic {magic.hex()}); got "
            f"{header[:4].hex() or 'an empty file'}"
        )
    shape = struct.unpack(f">{dimensions}I", header[4:])
    count = int(np.prod([float(side) for side in shape]))
    if count > MOST_BYTES:
        raise DamagedFileError(f"{path}: the header claims {count:,} bytes, more than {MOST_BYTES:,}")
    data = read(count + 1)
    if len(data) != count:
        more = "more" if len(data) > count else str(len(data))
        raise DamagedFileError(f"{path}: the header promises {count} bytes of data; the file has {more}")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)
