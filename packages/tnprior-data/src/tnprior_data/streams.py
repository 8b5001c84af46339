"""Random numbers that depend on names, not on the order in which they are asked for.

Every number is a pure function of words (the data set, the split, the attribute, the seed) and of a row,
so that a subset, another order or another machine sees the same draws. Only the guaranteed-stable parts
of NumPy are used: raw Philox words and integer arithmetic.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint64]


def key(*words: object) -> int:
    """A 64-bit number from the words, the same on every machine and in every process."""
    digest = hashlib.sha256("\x1f".join(str(word) for word in words).encode()).digest()
    return int.from_bytes(digest[:8], "little")


def row_keys(names: Iterable[str]) -> Words:
    """One 64-bit number per row name."""
    return np.fromiter((key(name) for name in names), dtype=np.uint64)


def uniform(count: int, *words: object) -> Floats:
    """`count` uniform numbers in [0, 1) from the stream that the words name."""
    raw = np.random.Philox(key=key(*words)).random_raw(count)
    return _unit(np.asarray(raw, dtype=np.uint64))


def uniform_rows(rows: Words, *words: object) -> Floats:
    """One uniform number in [0, 1) per row key, a function of that key and of the words alone."""
    return _unit(_mix(_mix(rows) ^ np.uint64(key(*words))))


def _unit(words: Words) -> Floats:
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(words: Words) -> Words:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every input bit reaches every output bit."""
    with np.errstate(over="ignore"):
        z = words + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
