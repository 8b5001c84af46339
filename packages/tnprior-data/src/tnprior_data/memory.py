"""Whether a data set of images has room in the machine's memory, asked before its pixels are made.

Without the question a side given by mistake (`data.size=1280` for 1,280 images) ends in the kernel's killing the
process, with no word of why.
"""

import math
import os

from .errors import DataError

SHARE = 0.5  # of the memory: a split into training and validation is a copy


def installed_memory() -> int | None:
    """Bytes of memory in this machine; None where the system does not say (Windows).

    >>> installed_memory() is None or installed_memory() > 2**20
    True
    """
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def check_room(shape: tuple[int, int, int, int], source: str, memory: int | None = None) -> None:
    """Refuse images (n, C, H, W) of one byte a value that take more than half of the memory.

    Args:
        shape: of the array that is about to be made.
        source: what the images are of, for the message.
        memory: bytes; None for the memory of this machine.

    Raises:
        DataError: n C H W bytes are more than half of it.

    Example:
        >>> check_room((60_000, 1, 28, 28), "mnist", memory=24 * 10**9)
        >>> check_room((60_000, 1, 1280, 1280), "mnist", memory=24 * 10**9)
        Traceback (most recent call last):
        ...
        tnprior_data.errors.DataError: mnist: 60,000 images of 1280x1280 pixels take 98.3 GB, and 12.0 GB, half of \
this machine's memory, are the most; choose a smaller size (the side in pixels)
    """
    memory = installed_memory() if memory is None else memory
    count, _, height, width = shape
    wanted = math.prod(shape)
    if memory is not None and wanted > SHARE * memory:
        raise DataError(
            f"{source}: {count:,} images of {width}x{height} pixels take {wanted / 1e9:.1f} GB, and "
            f"{SHARE * memory / 1e9:.1f} GB, half of this machine's memory, are the most; choose a smaller size "
            "(the side in pixels)"
        )
