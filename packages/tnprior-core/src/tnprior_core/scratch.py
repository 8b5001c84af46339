"""Memory for what a draw needs on the way, lent again and again: fresh pages cost more than what is written there."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

__all__ = ["Loan", "empty", "lent"]

_KEPT = 1 << 25
"""Bytes that are kept between loans, each; what grew beyond is given back to the system."""
_IDLE = 1 << 27
"""Bytes of all loans together that wait to be lent again."""


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
        with torch.inference_mode(False):  # what is made in that mode cannot be written to outside it
            memory[name] = torch.empty(size, dtype=dtype, device=device)
    return memory[name][:size].view(shape)


class Loan:
    """Memory for as long as this object lives: what a graph saves, say, until its nodes are gone.

    tensor
        uninitialised, with the dtype and on the device of `like`; of no use after the loan, nor is a view of it.

    >>> Loan((2, 3), torch.zeros(1)).tensor.shape
    torch.Size([2, 3])
    """

    def __init__(self, shape: tuple[int, ...], like: Tensor) -> None:
        """Take idle memory of this very size on the CPU; a device has such a store of its own."""
        self._lent, self._kind = False, (like.dtype, math.prod(shape))
        lent = like.device.type == "cpu" and not torch.is_inference_mode_enabled()
        try:
            memory = _Idle.memory[self._kind].pop() if lent else like.new_empty(shape)
        except (KeyError, IndexError):
            memory = like.new_empty(shape)
        self.tensor, self._lent = memory.view(shape), lent

    def __del__(self) -> None:
        """Give it back; where too much would lie idle, what lay there goes back to the system."""
        if self._lent and self.tensor.nbytes <= _IDLE:
            idle = sum(
                dtype.itemsize * size * len(parts) for (dtype, size), parts in list(_Idle.memory.items())
            )
            if idle + self.tensor.nbytes > _IDLE:
                _Idle.memory = {}
            _Idle.memory.setdefault(self._kind, []).append(self.tensor.view(-1))


class _Idle:
    memory: dict[tuple[torch.dtype, int], list[Tensor]] = {}  # noqa: RUF012 - one for the process
