"""Whether the inner loops of sampling run as machine code, which numba makes of them where it is installed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

__all__ = ["array", "draws_ahead", "kernels", "machine_code"]

_WORTH_COMPILING = 1 << 24
"""Values, half a second without machine code: about as long as numba takes to be imported, so little is lost."""


class _Process:
    """What this process has drawn so far, and the module of loops once they are worth having."""

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
        try:
            _Process.loops = _loops()
        except ImportError:  # numba is an extra, and may be at odds with the installed numpy
            _Process.loops = None


@contextmanager
def machine_code(wanted: bool) -> Iterator[None]:
    """Use the loops from the first draw on, or do without them, whatever has been drawn: for tests and benchmarks.

    Raises ImportError where they are wanted and numba is not installed.

    >>> with machine_code(False):
    ...     kernels(torch.device("cpu")) is None
    True
    """
    before = _Process.decided, _Process.loops
    _Process.decided, _Process.loops = True, _loops() if wanted else None
    try:
        yield
    finally:
        _Process.decided, _Process.loops = before


def array(tensor: torch.Tensor) -> Any:
    """The same memory as a numpy array.

    >>> array(torch.zeros(2)).shape
    (2,)
    """
    return tensor.detach().numpy()


def _loops() -> ModuleType:
    return importlib.import_module("tnprior_core.kernels")
