"""The training curve, from metrics.jsonl."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tnprior_cli.figures.exhibit import Exhibit, Plot
from tnprior_cli.figures.ink import COLOURS, drawing, svg
from tnprior_cli.rundir import RunDirectory

HELD_OUT = "validation/"
FIRST = ("bound", "log_likelihood", "log_attributes", "loss")
SIDE = ("grad_norm", "learning_rate")
PANELS = 3


def training_curve(run: RunDirectory) -> Exhibit | None:
    """The terms of the objectives by epoch; nothing before the second epoch."""
    rows = run.metrics()
    terms = curve_terms(rows)
    if len(rows) < 2 or not terms:
        return None
    unit = "epoch" if run.config.fit is None else "step"
    with drawing(3.1 * len(terms), 2.5) as figure:
        for place, term in enumerate(terms, 1):
            _panel(figure.add_subplot(1, len(terms), place), rows, term, unit)
        drawn = svg(figure, "curve", f"terms of the objective by {unit}")
    return Exhibit("curve", "Training", _caption(run, rows), Plot(drawn))


def _caption(run: RunDirectory, rows: Sequence[dict[str, Any]]) -> str:
    if run.config.fit is not None:
        return (
            f"What the prior minimises, in nats per code, over its {rows[-1]['step']} updates; the networks stayed as "
            "they were. Still falling at the end: more updates would help."
        )
    return (
        f"Terms of the objective in nats per image over {len(rows)} epochs: on the training batches, and (dashed) on "
        "the part of the training images that was held out. The first epochs may lie outside the panel. Still rising "
        "at the end: more epochs would help; apart: the model learns its training images by heart."
    )


def curve_terms(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The terms to show, the most telling first: those of the last epoch that have a value in each epoch.

    >>> curve_terms([{"epoch": 1, "bound/loss": 2.0, "bound/bound": -1.0, "bound/grad_norm": 3.0}])
    ['bound/bound', 'bound/loss']
    """
    named = [
        key
        for key in (rows[-1] if rows else ())
        if "/" in key and not key.startswith(HELD_OUT) and key.rpartition("/")[2] not in SIDE
        and all(isinstance(row.get(key), int | float) for row in rows)
    ]  # fmt: skip
    known = [key for word in FIRST for key in named if key.rpartition("/")[2] == word]
    return (known or named)[:PANELS]


def _panel(axes: Any, rows: Sequence[dict[str, Any]], term: str, unit: str) -> None:
    places = np.array([row[unit] for row in rows])
    shown = []
    for key, name, line, tone in ((term, "training", "-", 0), (HELD_OUT + term, "held out", "--", 1)):
        values = np.array([row.get(key, np.nan) for row in rows], dtype=float)
        if np.isfinite(values).any():
            axes.plot(places, values, line, color=COLOURS[tone], label=name, linewidth=1.5)
            shown.append(values[len(values) // 8 :])
    _limit(axes, np.concatenate(shown))
    axes.set(title=term.rpartition("/")[2].replace("_", " "), xlabel=unit)
    axes.grid(visible=True, axis="y")
    axes.legend()


def _limit(axes: Any, values: Any) -> None:
    """The range of the values after the first epochs, which are often far off."""
    values = values[np.isfinite(values)]
    if len(values):
        margin = 0.06 * max(float(np.ptp(values)), 1e-6)
        axes.set_ylim(values.min() - margin, values.max() + margin)
