"""On what the runs of a table were computed."""

import os
import platform
from pathlib import Path
from typing import Any


def machine(device: str) -> dict[str, Any]:
    """Processor, cores, device and versions, as plain JSON.

    Args:
        device: the device as asked for, such as "auto".
    """
    from tnprior_cli.build import pick_device
    from tnprior_models.training import environment

    facts = environment(pick_device(device), 0)
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": facts["threads"],
        "device": facts["device"],
        "platform": facts["machine"]["platform"],
        "versions": facts["versions"],
    }


def describe_machine(facts: dict[str, Any]) -> str:
    """The machine on one line."""
    device = facts["device"]
    place = f", {device['name']}" if device["type"] == "cuda" else ""
    return f"{facts['processor']}, {facts['cores']} cores, {facts['threads']} threads{place}"


def describe_versions(facts: dict[str, Any]) -> str:
    """The versions on one line."""
    return ", ".join(f"{name} {version}" for name, version in facts["versions"].items())


def processor() -> str:
    """The name of the processor's model."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
