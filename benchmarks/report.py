"""Tables: on the terminal and as Markdown with the place and date of the measurement."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

from benchmarks.settings import Settings


@dataclass(frozen=True)
class Table:
    """A question, the columns, the rows that answer it, and remarks."""

    question: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    remarks: tuple[str, ...] = ()


def show(table: Table) -> None:
    """Print a table in aligned columns."""
    lines = [table.columns, *table.rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(table.columns))]
    print(f"\n{table.question}")
    for line in lines:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    for remark in table.remarks:
        print(f"  {remark}")


def save(tables: Sequence[Table], settings: Settings, folder: Path) -> Path:
    """Write the tables to `folder/<device>-<date>.md` and return its path."""
    now = datetime.now(UTC)
    device = torch.cuda.get_device_name(settings.device) if settings.device.type == "cuda" else _processor()
    found = {
        name: _version(name) for name in ("torch", "numpy", "numba", "hmmlearn", "pyro-ppl", "tnprior-core")
    }
    clock = "processor time on a busy machine" if settings.cpu_time else "wall time"
    lines = [
        f"# Benchmarks, {now:%Y-%m-%d %H:%M} UTC",
        "",
        f"{device}, {torch.get_num_threads()} threads, Python {platform.python_version()}, "
        + ", ".join(f"{name} {version}" for name, version in found.items() if version)
        + ".",
        f"Median of a call over interleaved rounds (least to most), {clock}; ratios are of medians.",
    ]
    for table in tables:
        lines += ["", f"## {table.question}", "", _row(table.columns), _row(["---"] * len(table.columns))]
        lines += [_row(row) for row in table.rows]
        lines += [line for remark in table.remarks for line in ("", remark)]
    folder.mkdir(exist_ok=True)
    path = folder / f"{settings.device.type}-{now:%Y-%m-%d}.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = (
        [line for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()
