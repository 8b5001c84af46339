"""Run the benchmarks: `python -m benchmarks --help`, or `python benchmarks/run.py`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from benchmarks import components, log_prob, posteriors, sampling, scaling
from benchmarks.report import save, show
from benchmarks.settings import Settings

PROGRAMS = {
    "sampling": sampling,
    "log_prob": log_prob,
    "components": components,
    "posteriors": posteriors,
    "scaling": scaling,
}


def main() -> None:
    """Run the chosen programs, print their tables and, with --write, store them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="program", help=f"default: all of {', '.join(PROGRAMS)}")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch")
    parser.add_argument("--repeats", type=int, default=7, help="timed rounds of every contest")
    parser.add_argument(
        "--cpu-time", action="store_true", help="count processor time, for a busy machine with --threads 1"
    )
    parser.add_argument("--write", action="store_true", help="store a Markdown file under benchmarks/results")
    given = parser.parse_args()
    unknown = sorted(set(given.only) - set(PROGRAMS))
    if unknown:
        parser.error(f"there is no program {unknown[0]!r}; choose from {', '.join(PROGRAMS)}")
    torch.set_num_threads(given.threads)
    settings = Settings(device=torch.device(given.device), repeats=given.repeats, cpu_time=given.cpu_time)
    start = time.perf_counter()
    tables = []
    for name in given.only or PROGRAMS:
        for table in PROGRAMS[name].run(settings):
            show(table)
            tables.append(table)
    print(f"{time.perf_counter() - start:.0f} s")
    if given.write:
        print(f"wrote {save(tables, settings, Path(__file__).parent / 'results')}")


if __name__ == "__main__":
    main()
