"""Work in pieces: memory is bounded by the size of a piece, and the result does not depend on it."""

from collections.abc import Iterator


def pieces(total: int, size: int) -> Iterator[tuple[int, int]]:
    """The (first, count) of consecutive pieces of at most `size`.

    >>> list(pieces(5, 2))
    [(0, 2), (2, 2), (4, 1)]
    """
    for first in range(0, total, size):
        yield first, min(size, total - first)
