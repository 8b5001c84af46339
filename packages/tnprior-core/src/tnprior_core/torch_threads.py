"""The threads among which torch shares its operations, for pieces of work that are not torch's.

After an operation they stay busy for milliseconds, waiting for the next one, and threads of our own would have to share
the cores with them. torch has no way to borrow them, but OpenMP has: they are the team of the process.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from typing import Any

import torch

__all__ = ["torch_threads"]

_BODY = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def torch_threads() -> Callable[[Callable[[], None], int], None] | None:
    """Return what calls a function in so many threads of torch at once, this one among them, or None without OpenMP.

    What the function raises is raised once all have returned. Within it torch shares nothing: each thread does its own
    operations alone.

    >>> found = []
    >>> together = torch_threads()
    >>> if together is not None:
    ...     together(lambda: found.append(1), 1)
    """
    return _together if _parallel() is not None else None


def _together(work: Callable[[], None], count: int) -> None:
    failures: list[BaseException] = []

    def keep(_: object, failure: BaseException | None, __: object) -> bool:
        if failure is not None:
            failures.append(failure)
        return True

    def body(_: object) -> None:
        with ExitStack() as stack:
            stack.push(keep)  # nothing may be raised into OpenMP, which called this
            work()

    parallel: Any = _parallel()
    parallel(_BODY(body), None, count, 0)
    if failures:
        raise failures[0]


@cache
def _parallel() -> Any:
    """GNU's entry to a parallel region, `void (void (*body)(void *), void *data, unsigned threads, unsigned flags)`."""
    if sys.platform != "linux" or not torch.backends.openmp.is_available():
        return None
    try:
        # torch loads its OpenMP for all the process to see.
        found = ctypes.CDLL(None).GOMP_parallel
    except AttributeError:
        return None
    found.argtypes, found.restype = (_BODY, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint), None
    return found


def _forget_threads() -> None:
    """Have a forked child do without: the team does not live on in it, and would be waited for for ever."""
    global _parallel
    _parallel = cache(lambda: None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
