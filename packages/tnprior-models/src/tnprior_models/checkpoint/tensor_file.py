"""One safetensors file: named tensors, a JSON blob, and a digest that shows damage.

The layout is plain safetensors, readable by anything that reads that format. The header's metadata holds
`{"format": "pt", "tnprior": "<json>"}` and the JSON has `version`, `kind`, `sha256` (of names,
shapes, content and tensor bytes: safetensors itself notices a truncated file but not a flipped bit) and `content`.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from tnprior_models.checkpoint.errors import CheckpointError
from tnprior_models.errors import ModelError

VERSION = 1
_LENGTH_BYTES = 8


def encode(tensors: Mapping[str, Tensor], kind: str, content: Mapping[str, Any]) -> bytes:
    """The bytes of a file; tensors are copied to the CPU, so shared storage is stored once per name.

    Raises:
        ModelError: `content` is not JSON.
    """
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    try:
        plain = json.loads(json.dumps(content, allow_nan=False))  # as it will be read: tuples are lists
    except (TypeError, ValueError) as error:
        raise ModelError(f"the metadata of {kind} must be plain JSON: {error}") from error
    digest = _digest(safetensors.torch.save(copies), plain)
    text = json.dumps({"version": VERSION, "kind": kind, "sha256": digest, "content": plain})
    return safetensors.torch.save(copies, metadata={"format": "pt", "tnprior": text})


def decode(payload: bytes, kind: str, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the content that `encode` was given; `path` is only named in errors.

    Raises:
        CheckpointError: truncated, damaged, not written by this library, of another kind or version.
    """
    try:
        tensors = safetensors.torch.load(payload)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path} is not a complete safetensors file ({len(payload)} bytes: {error}); "
            "it was cut short or damaged after it was written, restore it from a copy"
        ) from error
    blob = _blob(payload, kind, path)
    if blob["sha256"] != _digest(payload, blob["content"]):
        raise CheckpointError(
            f"{path} is damaged: what it holds does not have the SHA-256 noted in its header"
        )
    return tensors, blob["content"]


def read_header(path: Path, kind: str) -> dict[str, Any]:
    """The content of a file without reading its tensors.

    Raises:
        CheckpointError: absent, damaged, or not a file of this kind and version.
    """
    try:
        with path.open("rb") as file:
            length = file.read(_LENGTH_BYTES)
            header = file.read(min(_header_length(length), path.stat().st_size))
    except OSError as error:
        raise unreadable(path, error) from error
    return dict(_blob(length + header, kind, path)["content"])


def read_bytes(path: Path) -> bytes:
    """All of a file.

    Raises:
        CheckpointError: the operating system refused.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> CheckpointError:
    """The error for a file that the operating system does not hand out."""
    return CheckpointError(f"cannot read {path}: {error.strerror or error}")


def _header_length(payload: bytes) -> int:
    return int.from_bytes(payload[:_LENGTH_BYTES], "little")


def _header(payload: bytes) -> dict[str, Any]:
    return dict(json.loads(payload[_LENGTH_BYTES : _LENGTH_BYTES + _header_length(payload)]))


def _digest(payload: bytes, content: Any) -> str:
    """Of names, shapes, content and tensor bytes, whether the header already holds metadata or not."""
    tensors = {name: entry for name, entry in _header(payload).items() if name != "__metadata__"}
    digest = hashlib.sha256(json.dumps([tensors, content], sort_keys=True).encode())
    digest.update(memoryview(payload)[_LENGTH_BYTES + _header_length(payload) :])
    return digest.hexdigest()


def _blob(payload: bytes, kind: str, path: Path) -> dict[str, Any]:
    try:
        blob = json.loads(_header(payload)["__metadata__"]["tnprior"])
        found = (blob["kind"], blob["version"])
        complete = "content" in blob and "sha256" in blob
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} has no readable 'tnprior' entry in its safetensors metadata: it is damaged or "
            "was not written by tnprior"
        ) from error
    if found != (kind, VERSION) or not complete:
        raise CheckpointError(
            f"{path} holds {found[0]!r} in format version {found[1]!r}, expected {kind!r} in version "
            f"{VERSION}; read it with the tnprior that wrote it"
        )
    return dict(blob)
