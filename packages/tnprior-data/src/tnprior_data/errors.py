"""What can go wrong with data, as a small tree under `DataError`."""

import difflib
from collections.abc import Iterable, Sequence

LISTED = 24


class DataError(ValueError):
    """Something about the data is wrong; the message says what was expected, what was found, and where."""


class UnknownNameError(DataError):
    """A data set, split, attribute or label that does not exist; the message has the closest match."""


class MissingFilesError(DataError):
    """Files that a data set needs are not there; the message lists where they were looked for."""


class DamagedFileError(DataError):
    """A file is truncated, has the wrong checksum, or is not what its name says."""


class TableError(DataError):
    """A table of attributes has an unknown label, a duplicate row or a missing column."""


def listed(words: Iterable[str]) -> str:
    """Join words for a message, the tail of a long list replaced by its length.

    >>> listed(["a", "b"])
    'a, b'
    """
    words = list(words)
    if len(words) <= LISTED:
        return ", ".join(words)
    return ", ".join(words[:LISTED]) + f", ... ({len(words)} in all)"


def unknown(kind: str, word: str, allowed: Sequence[str]) -> str:
    """The sentence for a word that is not in a list: closest match first, then the list.

    >>> unknown("split", "tset", ("train", "test"))
    "unknown split 'tset': did you mean 'test'? Allowed: train, test"
    """
    folded = {name.casefold(): name for name in allowed}
    close = difflib.get_close_matches(word.casefold(), list(folded), n=1, cutoff=0.5)
    hint = f" did you mean {folded[close[0]]!r}?" if close else ""
    return f"unknown {kind} {word!r}:{hint} Allowed: {listed(allowed) or '(none)'}"
