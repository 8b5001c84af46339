"""Everything a resumed run needs, in a directory that is valid at every instant.

The directory holds `state.json` and the safetensors file that it names::

    last/state.json                          position, settings, everything that is no tensor
    last/tensors-0c6f3a....safetensors       weights, averages, optimiser and random states

A new state's tensors are written beside the old ones under the name of their content, then `state.json` is
replaced in one step, then the old tensors are removed. Whoever is killed on the way leaves a complete state:
the old one before the step, the new one after it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tnprior_models.checkpoint.atomic import replace_file
from tnprior_models.checkpoint.errors import CheckpointError
from tnprior_models.checkpoint.tensor_file import VERSION, decode, encode, read_bytes
from tnprior_models.checkpoint.tree import flatten, unflatten

STATE_FILE = "state.json"
_KIND = "training-state"
_TENSORS = "tensors-*.safetensors"


def save_training_state(directory: str | Path, state: Mapping[str, Any]) -> Path:
    """Replace the state kept in `directory` by `state`.

    `state` is made of nested dicts, lists, tuples, tensors, numbers, strings and None.

    Raises:
        ModelError: full disk or no permission (the old state is then intact), or something in `state` that
            is none of those types.

    >>> import tempfile, torch
    >>> directory = save_training_state(tempfile.mkdtemp(), {"step": 3, "weights": {"w": torch.ones(2)}})
    >>> load_training_state(directory)
    {'step': 3, 'weights': {'w': tensor([1., 1.])}}
    """
    directory = Path(directory)
    values, tensors = flatten(state)
    payload = encode(tensors, _KIND, {})
    name = _TENSORS.replace("*", hashlib.sha256(payload).hexdigest()[:16])
    replace_file(directory / name, payload)
    text = json.dumps(values, allow_nan=False)
    entry = {"kind": _KIND, "version": VERSION, "tensors": name, "sha256": _digest(text), "state": values}
    replace_file(directory / STATE_FILE, json.dumps(entry, allow_nan=False).encode())
    for old in directory.glob(_TENSORS):
        if old.name != name:
            old.unlink(missing_ok=True)
    return directory


def load_training_state(directory: str | Path) -> dict[str, Any]:
    """The state that `save_training_state` wrote, tensors on the CPU.

    Raises:
        CheckpointError: nothing there, a damaged or truncated file, another format version.
    """
    directory = Path(directory)
    path = directory / STATE_FILE
    entry = _entry(path)
    tensors, _ = decode(read_bytes(directory / entry["tensors"]), _KIND, directory / entry["tensors"])
    try:
        return dict(unflatten(entry["state"], tensors))
    except KeyError as error:
        raise CheckpointError(
            f"{path} names the tensor {error} that {entry['tensors']} does not hold"
        ) from error


def has_training_state(directory: str | Path) -> bool:
    """Whether a state was ever completely written to `directory`."""
    return (Path(directory) / STATE_FILE).exists()


def _entry(path: Path) -> dict[str, Any]:
    try:
        entry = json.loads(read_bytes(path))
        found = (entry["kind"], entry["version"])
        sound = found != (_KIND, VERSION) or entry["sha256"] == _digest(json.dumps(entry["state"]))
        name = str(entry["tensors"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is not a readable training state: {error!r}; it was cut short or damaged"
        ) from error
    if found != (_KIND, VERSION):
        raise CheckpointError(
            f"{path} holds {found[0]!r} in format version {found[1]!r}, expected {_KIND!r} in version "
            f"{VERSION}; resume with the tnprior that wrote it"
        )
    if not sound or Path(name).name != name:
        raise CheckpointError(f"{path} is damaged: its content does not have the SHA-256 noted in it")
    return dict(entry)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
