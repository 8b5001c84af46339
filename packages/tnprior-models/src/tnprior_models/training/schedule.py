"""Learning-rate schedules: pure functions of the step, so that a resumed run needs no state of theirs."""

import math
from dataclasses import dataclass
from typing import Protocol

from tnprior_models.errors import ModelError


class Schedule(Protocol):
    """The factor on the learning rate at update `step` (0, 1, ...) of `total`."""

    def __call__(self, step: int, total: int) -> float:
        """A number that multiplies every group's own learning rate."""
        ...


@dataclass(frozen=True)
class Constant:
    """A factor of 1 throughout.

    >>> Constant()(10, 100)
    1.0
    """

    def __call__(self, step: int, total: int) -> float:
        """1, whatever the step."""
        return 1.0


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from 1 down to `final`: `final + (1 - final) (1 + cos(pi step / total)) / 2`.

    Loshchilov and Hutter, SGDR (2017), equation 5, without restarts. When a finished run is extended, the
    rate follows the cosine over the new total.

    Raises:
        ModelError: `final` outside [0, 1].

    >>> [round(Cosine(final=0.2)(step, 4), 3) for step in range(5)]
    [1.0, 0.883, 0.6, 0.317, 0.2]
    """

    final: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.final <= 1.0:
            raise ModelError(f"Cosine: expected final in [0, 1], received {self.final}")

    def __call__(self, step: int, total: int) -> float:
        """The factor at `step`; `final` from `total` on."""
        progress = min(step / total, 1.0) if total > 0 else 1.0
        return self.final + (1.0 - self.final) * 0.5 * (1.0 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class Warmup:
    """A straight line `(step + 1) / steps` for the first `steps` updates, then the schedule `then`.

    Raises:
        ModelError: `steps` below 1.

    >>> [Warmup(4)(step, 100) for step in range(5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """

    steps: int
    then: Schedule = Constant()

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ModelError(f"Warmup: expected at least 1 step, received {self.steps}")

    def __call__(self, step: int, total: int) -> float:
        """The factor at `step`; the later schedule counts from the end of the warm-up."""
        if step < self.steps:
            return (step + 1) / self.steps
        return self.then(step - self.steps, total - self.steps)
