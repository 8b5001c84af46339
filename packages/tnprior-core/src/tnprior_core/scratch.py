"""Memory for what a draw needs on the way, lent again and again: fresh pages cost more than what is written there."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

__all__ = ["empty", "lent"]

_KEPT = 1 << 25
"""Bytes that are kept between loans, each; what grew beyond is given back to the system."""


class _Pool:
    """Memory by what it is for, and as much of it as threads have drawn at once."""

    idle: list[dict[str, Tensor]] = []  # noqa: RUF012 - one list for the process, whose append and pop are atomic
    mine = threading.local()


@contextmanager
def lent() -> Iterator[None]:
    """Lend memory to this thread: within, `empty` returns it; nothing from there may be used after the end."""
    try:
        memory = _Pool.idle.pop()
    except IndexError:
        memory = {}
    outer, _Pool.mine.memory = getattr(_Pool.mine, "memory", None), memory
    try:
        yield
    finally:
        _Pool.mine.memory = outer
        if sum(part.nbytes for part in memory.values()) <= _KEPT:
            _Pool.idle.append(memory)


def empty(name: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return an uninitialised tensor of this shape, from the memory `name` of this thread if it was lent some.

    >>> with lent():
    ...     first = empty("states", (2, 3), torch.int32, torch.device("cpu"))
    >>> first.shape
    torch.Size([2, 3])
    """
    memory: dict[str, Tensor] | None = getattr(_Pool.mine, "memory", None)
    if memory is None or device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device)
    size, name = math.prod(shape), f"{name} {dtype}"
    if name not in memory or memory[name].numel() < size:
        memory[name] = torch.empty(size, dtype=dtype, device=device)
    return memory[name][:size].view(shape)
