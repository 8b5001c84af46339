"""Densities of pairs as small multiples: the density as a tint, and lines around its highest regions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import numpy.typing as npt

from tnprior_cli.prior_views.densities import Density

MASSES = (0.99, 0.9, 0.5)
"""Shares of the mass inside the lines, from the outermost."""

_SIDE, _ALONE, _COLUMNS = 2.5, 4.5, 6
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.edgecolor": "#999999",
    "axes.linewidth": 0.6,
    "axes.labelcolor": "#333333",
    "xtick.color": "#777777",
    "ytick.color": "#777777",
    "text.color": "#222222",
}


def save_contours(pictures: Mapping[str, Sequence[Density]], heading: str, path: Path) -> None:
    """Writes the densities of the same pairs under one or several conditions as one PNG.

    Args:
        pictures: text of a condition -> its densities, in one order for all; conditions of one pair stand
            beside each other, on the same axes.
        heading: over the whole.
        path: the PNG.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    pairs = zip(*pictures.values(), strict=True)
    panels = [panel for pair in pairs for panel in zip(pictures, pair, strict=True)]
    columns = _columns(len(pictures), len(panels))
    lines, side = -(-len(panels) // columns), _ALONE if len(panels) == 1 else _SIDE
    with rc_context(_STYLE):
        figure = Figure(figsize=(side * columns, side * lines + 0.6), layout="constrained", dpi=110)
        figure.suptitle(fill(heading, int(12 * side * columns)), fontsize=10, parse_math=False)
        for place, (text, density) in enumerate(panels, 1):
            axes = figure.add_subplot(lines, columns, place)
            _panel(axes, density)
            said = [text] * (len(pictures) > 1) + [f"{density.information:.2f} nats"]
            axes.set_title("\n".join(said), parse_math=False)
        figure.savefig(path, format="png", metadata={"Software": None})


def levels_of(values: npt.NDArray[np.float64], masses: Sequence[float] = MASSES) -> list[float]:
    """The density on the border of the smallest region that holds each share of the mass on the grid.

    >>> levels_of(np.array([[4.0, 3.0], [2.0, 1.0]]), (0.7, 0.4))
    [3.0, 4.0]
    """
    ordered = np.sort(values, axis=None)[::-1]
    inside = np.cumsum(ordered) / ordered.sum()
    return [float(ordered[np.searchsorted(inside, mass - 1e-12)]) for mass in masses]


def _columns(conditions: int, panels: int) -> int:
    """Conditions of a pair stay together in a line."""
    return min(panels, max(1, _COLUMNS // conditions) * conditions)


def _panel(axes: Any, density: Density) -> None:
    first, second, values = (
        x.cpu().double().numpy() for x in (density.first, density.second, density.values)
    )
    extent = (first[0], first[-1], second[0], second[-1])
    axes.imshow(
        values.T, origin="lower", extent=extent, aspect="auto", cmap="Blues", vmin=0, interpolation="bilinear"
    )
    levels = sorted(set(levels_of(values)))
    axes.contour(first, second, values.T, levels=levels, colors="#1f3b57", linewidths=0.6, alpha=0.7)
    axes.set_xlabel(density.pair[0], labelpad=1, parse_math=False)
    axes.set_ylabel(density.pair[1], labelpad=1, parse_math=False)
    axes.tick_params(length=2, pad=1.5, labelsize=7)
