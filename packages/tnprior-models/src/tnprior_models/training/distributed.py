"""The processes of a run: PyTorch's own process group, or just this process."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from tnprior_models.errors import ModelError


class Group(Protocol):
    """What the training loop asks of the processes it runs in."""

    @property
    def rank(self) -> int:
        """This process's place among them, from 0; rank 0 alone writes."""
        ...

    @property
    def world(self) -> int:
        """How many there are."""
        ...

    def total(self, values: Sequence[float]) -> list[float]:
        """The sums over all processes, in float64."""
        ...

    def gather(self, payload: bytes) -> list[bytes]:
        """The bytes of every process, in rank order."""
        ...

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite `tensors` by those of rank 0."""
        ...


@dataclass(frozen=True)
class Alone:
    """One process.

    >>> Alone().total([1.0, 2.0])
    [1.0, 2.0]
    """

    rank: int = 0
    world: int = 1

    def total(self, values: Sequence[float]) -> list[float]:
        """The values themselves."""
        return list(values)

    def gather(self, payload: bytes) -> list[bytes]:
        """The bytes themselves."""
        return [payload]

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Nobody else has tensors, so they stay."""
        return None


@dataclass(frozen=True)
class Processes:
    """The default process group of `torch.distributed`; collectives run on `device`."""

    rank: int
    world: int
    device: torch.device

    def total(self, values: Sequence[float]) -> list[float]:
        """The sums over all processes, in float64."""
        buffer = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(buffer)
        return [float(value) for value in buffer.tolist()]

    def gather(self, payload: bytes) -> list[bytes]:
        """The bytes of every process, in rank order."""
        lengths = [0.0] * self.world
        lengths[self.rank] = float(len(payload))
        sizes = [int(length) for length in self.total(lengths)]
        own = torch.zeros(max(sizes), dtype=torch.uint8, device="cpu")
        own[: len(payload)] = torch.tensor(list(payload), dtype=torch.uint8, device="cpu")
        everyone = [torch.empty_like(own, device=self.device) for _ in sizes]
        dist.all_gather(everyone, own.to(self.device))
        return [bytes(padded.tolist())[:size] for padded, size in zip(everyone, sizes, strict=True)]

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite `tensors` by those of rank 0."""
        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0)


def current_group(device: torch.device) -> Group:
    """The initialised process group, or this process alone.

    Raises:
        ModelError: the group's back end cannot reduce tensors of `device`.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return Alone()
    backend = dist.get_backend()
    if (backend == "nccl") != (device.type == "cuda"):
        raise ModelError(
            f"the process group uses {backend}, which does not reduce on {device}; start it with "
            "process_group(device)"
        )
    return Processes(dist.get_rank(), dist.get_world_size(), device)


@contextmanager
def process_group(kind: str) -> Iterator[torch.device]:
    """Join the group that `torchrun` (or `launch`) describes in the environment, and leave it afterwards.

    Yields the device of this process: `kind` is "cpu" (gloo) or "cuda" (nccl, one device per local rank).
    Without such an environment there is one process and nothing to join.

    Raises:
        ModelError: more processes on this machine than CUDA devices.

    >>> with process_group("cpu") as device:
    ...     device
    device(type='cpu')
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield torch.device(kind)
        return
    device = _own_device(kind)
    if kind == "cuda":
        dist.init_process_group("nccl", device_id=device)
    else:
        dist.init_process_group("gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def _own_device(kind: str) -> torch.device:
    if kind != "cuda":
        return torch.device(kind)
    index = int(os.environ.get("LOCAL_RANK", os.environ["RANK"]))
    if index >= torch.cuda.device_count():
        raise ModelError(
            f"process {index} of this machine has no CUDA device of its own: {torch.cuda.device_count()} found; "
            "ask for at most that many devices"
        )
    torch.cuda.set_device(index)
    return torch.device("cuda", index)
