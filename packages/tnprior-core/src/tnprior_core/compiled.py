"""Whether inner loops run as machine code, which numba makes of them where it is installed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any

import torch

__all__ = ["array", "chain_loops", "draws_ahead", "kernels", "machine_code"]

_WORTH_COMPILING = 1 << 24
"""Values, half a second without machine code: about as long as numba takes to be imported, so little is lost."""
_WORTH_VECTORS = 1 << 23
"""Multiplications of a density: 7 million take a millisecond less than without, and the import half a second."""


class _Process:
    """What this process has drawn so far, and the module of loops once they are worth having."""

    vectors: bool | None = None  # whether densities use theirs; None: by their size
    drawn = 0
    decided = False
    loops: ModuleType | None = None


def kernels(device: torch.device) -> ModuleType | None:
    """Return the loops of `kernels`, or None where tensors' own operations do their work.

    >>> kernels(torch.device("meta")) is None
    True
    """
    return _Process.loops if device.type == "cpu" else None


def draws_ahead(values: int, device: torch.device) -> None:
    """Tell that so many values are about to be drawn; from 2^24 on the CPU on, loops are machine code.

    >>> draws_ahead(1000, torch.device("cpu"))
    """
    if device.type != "cpu":
        return
    _Process.drawn += values
    if not _Process.decided and _Process.drawn >= _WORTH_COMPILING:
        _Process.decided = True
        _Process.loops = _installed("tnprior_core.kernels")


def chain_loops(multiplications: int, device: torch.device) -> ModuleType | None:
    """Return the loops of `chain_loops` for a density of this size, or None where tensors' own operations do the work.

    Their results differ in the last bits. So nothing counts but the size: what the process did before, for one, would
    have a run that is resumed end elsewhere.

    >>> chain_loops(10, torch.device("cpu")) is None
    True
    """
    if device.type != "cpu" or torch.compiler.is_compiling():
        return None
    worth = multiplications >= _WORTH_VECTORS if _Process.vectors is None else _Process.vectors
    return _chain_loops() if worth else None


@contextmanager
def machine_code(wanted: bool) -> Iterator[None]:
    """Use all loops, or do without them, whatever the size and whatever has been drawn: for tests and benchmarks.

    Raises ImportError where they are wanted and numba is not installed.

    >>> with machine_code(False):
    ...     kernels(torch.device("cpu")) is None
    True
    """
    loops = importlib.import_module("tnprior_core.kernels") if wanted else None
    before = _Process.decided, _Process.loops, _Process.vectors
    _Process.decided, _Process.loops, _Process.vectors = True, loops, wanted
    try:
        yield
    finally:
        _Process.decided, _Process.loops, _Process.vectors = before


def array(tensor: torch.Tensor) -> Any:
    """The same memory as a numpy array.

    >>> array(torch.zeros(2)).shape
    (2,)
    """
    return tensor.detach().numpy()


@cache
def _chain_loops() -> ModuleType | None:
    return _installed("tnprior_core.chain_loops")


def _installed(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:  # numba is an extra, and may be at odds with the installed numpy
        return None
