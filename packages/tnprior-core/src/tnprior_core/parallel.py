"""Work in threads, for operations of torch that use a single core (gathers, random numbers)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import torch

__all__ = ["Spread", "spreading"]

_CACHE = 1 << 15
"""Numbers worked on at once: they stay in the cache of a core, and torch starts no threads of its own for them."""
_DEVICE = 1 << 26


@dataclass(frozen=True)
class Spread:
    """Calls a function on slices of a range, side by side; made by `spreading`."""

    pool: Executor | None
    workers: int
    grain: int

    def __call__(self, work: Callable[[slice], None], count: int, cost: int) -> None:
        """Call `work` on slices that cover `range(count)`, in no particular order and without gradients.

        cost
            how many numbers one item touches; a slice is as long as the cache allows, at least one item.

        The first error of a call is raised.
        """
        size = max(1, min(-(-count // self.workers), self.grain // max(cost, 1)))
        parts = [slice(start, min(start + size, count)) for start in range(0, count, size)]
        if self.pool is None or len(parts) == 1:
            for part in parts:
                _without_gradients(work, part)
            return
        for future in [self.pool.submit(_without_gradients, work, part) for part in parts]:
            future.result()


@contextmanager
def spreading(device: torch.device) -> Iterator[Spread]:
    """Yield a `Spread` with as many threads as torch itself may use; without any on other devices than the CPU.

    >>> found = []
    >>> with spreading(torch.device("cpu")) as spread:
    ...     spread(lambda part: found.extend(range(5)[part]), 5, cost=1)
    >>> sorted(found)
    [0, 1, 2, 3, 4]
    """
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    if threads == 1:
        yield Spread(None, 1, _CACHE if device.type == "cpu" else _DEVICE)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield Spread(pool, threads, _CACHE)


def _without_gradients(work: Callable[[slice], None], part: slice) -> None:
    # Whether gradients are recorded is a setting of each thread.
    with torch.no_grad():
        work(part)
