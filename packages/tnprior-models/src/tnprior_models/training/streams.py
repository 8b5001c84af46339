"""The random streams of a run: torch, the device, Python and NumPy, set together and kept together.

The streams belong to the run: whoever calls a training loop finds the global generators as they were.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tnprior_models.checkpoint.tensor_file import decode, encode
from tnprior_models.checkpoint.tree import flatten, unflatten
from tnprior_models.training.distributed import Group

_WORD = 2**32
_KIND = "random-streams"


def capture(device: torch.device) -> dict[str, Any]:
    """The state of every global generator that code on `device` may draw from."""
    version, words, spare = random.getstate()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "python": {"version": version, "words": torch.tensor(words, device="cpu"), "spare": spare},
        "numpy": _capture_numpy(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore(state: Mapping[str, Any], device: torch.device) -> None:
    """Put back what `capture` returned; a state from another kind of device leaves this one's generator."""
    torch.set_rng_state(state["torch"])
    python = state["python"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["spare"]))
    _restore_numpy(state["numpy"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def seed_streams(seed: int, device: torch.device) -> None:
    """Start every global generator from `seed`, any number in [0, 2**63)."""
    random.seed(seed)
    np.random.seed(seed % _WORD)  # noqa: NPY002 - the global generator is the one that other code draws from
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


@contextmanager
def isolated(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, the streams start from `seed`; afterwards they go on as if nothing had been drawn."""
    state = capture(device)
    seed_streams(seed, device)
    try:
        yield
    finally:
        restore(state, device)


def _capture_numpy() -> dict[str, Any]:
    state = np.random.get_state(legacy=False)  # noqa: NPY002
    words: Tensor = torch.tensor(state["state"]["key"].tolist(), device="cpu")
    return {
        "words": words,
        "position": int(state["state"]["pos"]),
        "has_gauss": int(state["has_gauss"]),
        "gauss": float(state["gauss"]),
    }


def _restore_numpy(state: Mapping[str, Any]) -> None:
    words = np.array(state["words"].tolist(), dtype=np.uint32)
    np.random.set_state(("MT19937", words, state["position"], state["has_gauss"], state["gauss"]))  # noqa: NPY002


def capture_all(group: Group, device: torch.device) -> list[dict[str, Any]]:
    """The streams of every process, in rank order."""
    if group.world == 1:
        return [capture(device)]
    values, tensors = flatten(capture(device))
    payloads = group.gather(encode(tensors, _KIND, values))
    return [_decoded(payload) for payload in payloads]


def restore_own(
    saved: Sequence[Mapping[str, Any]], group: Group, device: torch.device, fallback: int
) -> None:
    """Put back this process's streams; start them from `fallback` where the run had other processes.

    The same happens to the device's generator if the run was on another kind of device.
    """
    seed_streams(fallback, device)
    if len(saved) == group.world:
        restore(saved[group.rank], device)


def _decoded(payload: bytes) -> dict[str, Any]:
    tensors, values = decode(payload, _KIND, Path("the random streams of another process"))
    return dict(unflatten(values, tensors))
