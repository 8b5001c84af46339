"""The loss terms of an epoch: exact means over examples and processes, and a stop at the first NaN."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tnprior_models.errors import ModelError
from tnprior_models.training.distributed import Group


class NonFiniteLossError(ModelError):
    """A loss term or a gradient norm is NaN or infinite."""


@dataclass(frozen=True)
class Place:
    """Where in a run a number arose; epoch and step count from 1."""

    epoch: int
    step: int
    objective: str


class EpochTerms:
    """Sums of the terms of an epoch.

    Terms stay on the device until `flush`, so that a device need not wait for the host at every update.

    Args:
        group: the processes over which to average.
        interval: how many records to keep before flushing.
    """

    def __init__(self, group: Group, interval: int) -> None:
        self._group = group
        self._interval = interval
        self._pending: list[tuple[Place, tuple[str, ...], Tensor, int]] = []
        self._sums: dict[str, float] = {}
        self._counts: dict[str, float] = {}
        self.latest: dict[str, float] = {}

    def add(self, place: Place, terms: Mapping[str, Tensor], examples: int) -> None:
        """Note the mean `terms` over `examples` examples of this process.

        Raises:
            NonFiniteLossError: see `flush`.
        """
        self._pending.append((place, tuple(terms), torch.stack(tuple(terms.values())), examples))
        if len(self._pending) >= self._interval:
            self.flush()

    def flush(self) -> None:
        """Add the pending records to the sums.

        Raises:
            NonFiniteLossError: in any process a term is not finite, naming epoch, step, objective and term.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return
        rows = torch.cat([values for _, _, values, _ in pending]).tolist()
        problem = None
        for place, names, _, examples in pending:
            row, rows = rows[: len(names)], rows[len(names) :]
            problem = problem or self._record(place, dict(zip(names, row, strict=True)), examples)
        elsewhere = self._group.total([float(problem is not None)])[0]
        if problem is not None or elsewhere:
            raise NonFiniteLossError(
                f"{problem or f'{_at(pending[0][0])} a term is not finite in another process'}. Lower "
                "the learning rate, clip gradients (clip_norm) or compute in float32; the last checkpoint is intact"
            )

    def means(self) -> dict[str, float]:
        """The means so far over examples and processes, by `objective/term`; the same in every process."""
        self.flush()
        names = sorted(self._sums)
        totals = self._group.total([*(self._sums[n] for n in names), *(self._counts[n] for n in names)])
        sums, counts = totals[: len(names)], totals[len(names) :]
        return {name: total / count for name, total, count in zip(names, sums, counts, strict=True)}

    def clear(self) -> None:
        """Begin a new epoch."""
        self._sums, self._counts = {}, {}

    def state(self) -> dict[str, dict[str, float]]:
        """The sums over all processes, to be loaded by one."""
        self.flush()
        names = sorted(self._sums)
        totals = self._group.total([*(self._sums[n] for n in names), *(self._counts[n] for n in names)])
        return {
            "sums": dict(zip(names, totals[: len(names)], strict=True)),
            "counts": dict(zip(names, totals[len(names) :], strict=True)),
        }

    def load(self, state: Mapping[str, Mapping[str, float]]) -> None:
        """Go on from a saved state; rank 0 holds it, the others start from zero."""
        share = 1.0 if self._group.rank == 0 else 0.0
        self._sums = {name: share * value for name, value in state["sums"].items()}
        self._counts = {name: share * value for name, value in state["counts"].items()}

    def _record(self, place: Place, terms: Mapping[str, float], examples: int) -> str | None:
        for name, value in terms.items():
            key = f"{place.objective}/{name}"
            self.latest[key] = value
            self._sums[key] = self._sums.get(key, 0.0) + value * examples
            self._counts[key] = self._counts.get(key, 0.0) + examples
        bad = [name for name, value in terms.items() if not math.isfinite(value)]
        if not bad:
            return None
        culprit = next((name for name in bad if name not in ("loss", "grad_norm")), bad[0])
        return f"{_at(place)} the term {culprit!r} is {terms[culprit]}"


def _at(place: Place) -> str:
    return f"epoch {place.epoch}, step {place.step}, objective {place.objective!r}:"
