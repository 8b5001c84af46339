"""Ending a run between two updates: a signal, a time limit."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tnprior_models.errors import ModelError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SAME_REQUEST = 2.0  # seconds: a terminal and a launcher both pass the same Ctrl-C on


class TrainingInterrupted(ModelError):  # noqa: N818 - the run is intact, it is no error of the program
    """A signal ended the run after the update under way; the checkpoint was written first."""


class Interrupts:
    """Which signal asked the run to end, if any."""

    def __init__(self) -> None:
        self.requested: str | None = None
        self._since = 0.0

    def request(self, number: int, frame: FrameType | None) -> None:
        """Note the first signal; a second one, seconds later, ends the process's work at once.

        Raises:
            KeyboardInterrupt: the user insists.
        """
        if self.requested is None:
            self.requested = signal.Signals(number).name
            self._since = time.monotonic()
        elif time.monotonic() - self._since > _SAME_REQUEST:
            raise KeyboardInterrupt


@contextmanager
def caught_signals() -> Iterator[Interrupts]:
    """Inside, SIGINT and SIGTERM only leave a note; outside the main thread nothing is caught."""
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    previous = {number: signal.signal(number, interrupts.request) for number in _SIGNALS}
    try:
        yield interrupts
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
