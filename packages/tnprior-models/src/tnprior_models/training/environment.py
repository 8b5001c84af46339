"""What a run ran on: versions, device and seed, for `env.json`."""

import os
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import torch

_PACKAGES = (
    "tnprior-core",
    "tnprior-models",
    "tnprior-data",
    "tnprior-eval",
    "tnprior-cli",
    "torch",
    "torchvision",
    "numpy",
    "safetensors",
)


def environment(device: torch.device | str, seed: int, *, world: int = 1) -> dict[str, Any]:
    """Versions, machine, device and seed, as plain JSON; the trainer adds the times.

    Packages that are not installed are absent from `versions`.

    >>> facts = environment("cpu", seed=7)
    >>> facts["seed"], facts["device"]["type"], "torch" in facts["versions"]
    (7, 'cpu', True)
    """
    return {
        "versions": {"python": platform.python_version(), **_installed()},
        "machine": {"platform": platform.platform(), "processors": os.cpu_count()},
        "device": _device(torch.device(device)),
        "processes": world,
        "threads": torch.get_num_threads(),
        "seed": seed,
        "command": sys.argv,
    }


def now() -> str:
    """The present time in UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _installed() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _device(device: torch.device) -> dict[str, Any]:
    if device.type != "cuda":
        return {"type": device.type, "name": platform.processor() or platform.machine()}
    return {
        "type": device.type,
        "name": torch.cuda.get_device_name(device),
        "memory": torch.cuda.get_device_properties(device).total_memory,
        "cuda": torch.version.cuda,
    }
