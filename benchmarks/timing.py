"""Contests: every contestant once per round, in turn, so that a busy machine is busy for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from benchmarks.settings import Settings


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: median, smallest and largest over the rounds."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        """Milliseconds, with the range."""
        return f"{self.median * 1e3:.3g} ms ({self.least * 1e3:.3g} to {self.most * 1e3:.3g})"


def compete(contestants: Mapping[str, Callable[[], object]], settings: Settings) -> dict[str, Timing]:
    """Time every contestant once per round, interleaved, after one untimed round."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    clock = time.process_time if settings.cpu_time else time.perf_counter
    for repeat in range(settings.repeats + 1):
        for name, call in contestants.items():
            _wait(settings.device)
            start = clock()
            call()
            _wait(settings.device)
            if repeat:
                seconds[name].append(clock() - start)
    return {
        name: Timing(sorted(found)[len(found) // 2], min(found), max(found))
        for name, found in seconds.items()
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
