"""Work in parts that stay in the cache of a core, and in threads of a whole piece of work each."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from threading import Barrier, Lock

import torch

from tnprior_core.torch_threads import torch_threads

__all__ = ["Parts", "in_threads", "once_in_threads", "parts_for", "shares"]

_CACHE = 1 << 17
"""Numbers worked on at once: half a megabyte stays in the cache of a core, and a call costs little beside the work."""
_DEVICE = 1 << 26


@dataclass(frozen=True)
class Parts:
    """Calls a function on slices of a range, one after the other; made by `parts_for`."""

    grain: int

    def __call__(self, work: Callable[[slice], None], count: int, cost: int) -> None:
        """Call `work` on slices that cover `range(count)`, in order.

        cost
            how many numbers one item touches; a slice is as long as the cache allows, at least one item.
        """
        size = max(1, self.grain // max(cost, 1))
        for start in range(0, count, size):
            work(slice(start, min(start + size, count)))


def parts_for(device: torch.device) -> Parts:
    """Return the `Parts` of a device: as long as its cache allows on the CPU, nearly everything at once elsewhere.

    >>> found = []
    >>> parts_for(torch.device("cpu"))(lambda part: found.extend(range(5)[part]), 5, cost=1)
    >>> found
    [0, 1, 2, 3, 4]
    """
    return Parts(_CACHE if device.type == "cpu" else _DEVICE)


def shares(count: int, *, least: int, most: int, grain: int, device: torch.device) -> list[slice]:
    """Return slices that cover `range(count)`: one for each of torch's threads, or more of them.

    least, most, grain
        length of a slice: at least `least` and at most `most`, all three but the last slice multiples of `grain`.

    >>> shares(9, least=2, most=4, grain=2, device=torch.device("cpu"))[-1].stop
    9
    """
    workers = _workers(device)
    length = min(max(-(-count // (workers * grain)) * grain, least), most)
    return [slice(start, min(start + length, count)) for start in range(0, count, length)]


def in_threads(work: Callable[[slice], None], slices: Sequence[slice], device: torch.device) -> None:
    """Call `work` on every slice, as many at a time as torch has threads.

    For work that is one long row of small operations, which torch itself runs on one core. Threads gain by it where
    each goes through the whole row, and lose where they share every operation.

    work
        may run in another thread, without gradients; what it raises is raised here.

    >>> found = torch.zeros(9)
    >>> in_threads(lambda part: found[part].add_(1), [slice(0, 4), slice(4, 9)], torch.device("cpu"))
    >>> bool((found == 1).all())
    True
    """

    workers = _workers(device)
    if min(workers, len(slices)) < 2:
        with torch.no_grad():
            for part in slices:
                work(part)
        return

    inference, left = torch.is_inference_mode_enabled(), deque(slices)

    def take() -> None:
        with torch.inference_mode(inference), torch.no_grad():  # both are each thread's own
            while left:
                try:
                    part = left.popleft()
                except IndexError:
                    return
                work(part)

    together = torch_threads()
    if together is not None:
        together(take, workers)
        return
    running = [_threads(workers).submit(take) for _ in range(workers)]
    wait(running)
    for done in running:
        done.result()


def once_in_threads(work: Callable[[], None]) -> Callable[[], None]:
    """Return a function that any thread may call: it returns when `work` is done, which the first caller does.

    Where `work` raises, so does the call, and the next one tries again.

    >>> found = []
    >>> done = once_in_threads(lambda: found.append(1))
    >>> done(), done(), found
    (None, None, [1])
    """
    turn, left = Lock(), [work]

    def done() -> None:
        with turn:
            while left:
                left[0]()
                left.pop()

    return done


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    """So many threads that wait for work from one call to the next; a fresh one takes milliseconds to have a core.

    Each of them starts no threads of OpenMP's or MKL's: together they are as many as torch has in the one that calls.
    """
    pool, started = ThreadPoolExecutor(count, "tnprior"), Barrier(count)

    def begin() -> None:
        torch.get_num_threads()  # has a fresh thread take over the setting, before it is changed for this thread
        torch.set_num_threads(1)
        started.wait()

    wait([pool.submit(begin) for _ in range(count)])
    torch.set_num_threads(count)  # also what threads have that are still to come
    return pool


# Threads do not live on in a forked child, whose calls would wait for them for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)


def _workers(device: torch.device) -> int:
    return torch.get_num_threads() if device.type == "cpu" else 1
