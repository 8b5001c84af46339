"""Starting the processes of a distributed run on one machine."""

import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.multiprocessing.spawn import (
    ProcessContext,
    ProcessException,
    ProcessExitedException,
    start_processes,
)

from tnprior_core.errors import TnpriorError
from tnprior_models.errors import ModelError

R = TypeVar("R")

_HOST = "127.0.0.1"
_LOG_LEVEL = "TORCH_CPP_LOG_LEVEL"
_POLL = 0.2  # seconds
_GRACE = 15.0  # seconds for the others to notice that one of them failed


class _Report(NamedTuple):
    """What a process sends when it ends: a result, or the type and the message of an error."""

    rank: int
    error: type[TnpriorError] | None
    value: Any


def launch(fn: Callable[..., R], devices: int, *args: Any) -> R:
    """Run `fn(*args)` in `devices` processes of this machine and return what rank 0 returns.

    Each process finds the environment of `torchrun`; `fn` joins the group with `process_group`. With one
    device `fn` simply runs here. Signals are passed on to all processes. `fn` is a function at the top level
    of a module, and a script that calls this does so under `if __name__ == "__main__"`.

    Raises:
        ModelError: `devices` below 1, or a process that was killed.
        TnpriorError: the error that `fn` raised, of the same type.
        torch.multiprocessing.ProcessException: `fn` failed with any other error, whose traceback it shows.

    >>> launch(max, 1, 3, 5)
    5
    """
    if devices < 1:
        raise ModelError(f"devices: expected 1 or more, received {devices}")
    if devices == 1:
        return fn(*args)
    store = TCPStore(_HOST, 0, is_master=True, wait_for_workers=False)
    reader, writer = multiprocessing.get_context("spawn").Pipe(duplex=False)
    with _less_noise():
        context = start_processes(
            _process,
            args=(fn, args, devices, store.port, writer),
            nprocs=devices,
            join=False,
            start_method="spawn",
        )
    writer.close()
    with _forwarded_signals(context):
        reports = _wait(context, reader)
    return cast(R, _outcome(reports))


def _process(
    rank: int,
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    world: int,
    port: int,
    writer: "multiprocessing.connection.Connection[Any, Any]",
) -> None:
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(world),
        LOCAL_WORLD_SIZE=str(world),
        MASTER_ADDR=_HOST,
        MASTER_PORT=str(port),
        TORCHELASTIC_USE_AGENT_STORE="True",  # the store lives in the parent, as under torchrun
        TORCHELASTIC_RESTART_COUNT="0",
    )
    torch.set_num_threads(max(1, torch.get_num_threads() // world))
    try:
        result = fn(*args)
    except TnpriorError as error:
        writer.send(_Report(rank, type(error), str(error)))
        sys.exit(1)
    if rank == 0:
        writer.send(_Report(rank, None, result))
    # The work is done and told. A regular exit takes torch apart, where a thread that is still at its end now and then
    # aborts the process (std::terminate), and a finished training would be called a failed one.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


@contextmanager
def _less_noise() -> Iterator[None]:
    """Processes that start now do not log that DDP looked for unused parameters and found none."""
    level = os.environ.get(_LOG_LEVEL)
    os.environ.setdefault(_LOG_LEVEL, "ERROR")
    try:
        yield
    finally:
        if level is None:
            del os.environ[_LOG_LEVEL]


@contextmanager
def _forwarded_signals(context: ProcessContext) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def forward(number: int, frame: FrameType | None) -> None:
        for pid in context.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    previous = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _wait(
    context: ProcessContext, reader: "multiprocessing.connection.Connection[Any, Any]"
) -> list[_Report]:
    reports: list[_Report] = []
    try:
        while not context.join(timeout=_POLL, grace_period=_GRACE):
            reports += _received(reader)
    except ProcessException as error:
        reports += _received(reader)
        if all(report.error is None for report in reports):
            if isinstance(error, ProcessExitedException):
                raise ModelError(f"{error}; the others were stopped (out of memory, perhaps)") from error
            raise
    return reports + _received(reader)


def _received(
    reader: "multiprocessing.connection.Connection[Any, Any]",
) -> list[_Report]:
    reports = []
    with contextlib.suppress(EOFError):  # every process closed its end
        while reader.poll():
            reports.append(reader.recv())
    return reports


def _outcome(reports: list[_Report]) -> Any:
    for report in sorted(reports, key=lambda report: report.rank):
        if report.error is not None:
            raise report.error(report.value)
    return reports[0].value
