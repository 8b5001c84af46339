"""Functions on arrays as machine code, for the modules of loops alone, which are imported where numba is installed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numba

__all__ = ["as_machine_code"]


def as_machine_code(function: Callable[..., Any]) -> Any:
    """Compile at the first call, and keep the result on disk where there is a place that can be written to.

    What is on disk is found again as long as the file of the function stays the same, whatever it calls in others.
    """
    bare = inspect.unwrap(function)  # import hooks that check signatures wrap every function
    try:
        return numba.njit(nogil=True, cache=True)(bare)
    except RuntimeError:  # neither beside this file nor in the user's cache
        return numba.njit(nogil=True)(bare)
