"""matplotlib drawings as SVG that takes its ink from the page, so that it reads on light and dark."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, FAINT = "#010203", "#040506"  # stand for colours of the page
COLOURS = (
    *("#3b82c4", "#e07b39", "#3f9b57", "#c9485b", "#8a67c7", "#9c6b4e", "#d173b0", "#7f8790", "#a8a02c"),
    "#2aa5b5",
)  # of middling lightness: they stand out on white and on black
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "grid.color": FAINT,
    "grid.linewidth": 0.4,
    "legend.frameon": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
_FONT = re.compile(r"'DejaVu Sans'[^;\"]*?sans-serif")


def colour(index: int, count: int) -> Any:
    """The colour of class `index` of `count`: distinct ones for up to ten classes, else along a scale."""
    if count <= len(COLOURS):
        return COLOURS[index]
    from matplotlib import colormaps

    return colormaps["turbo"](0.05 + 0.9 * index / (count - 1))


@contextmanager
def drawing(width: float, height: float) -> Iterator["Figure"]:
    """Yields an empty figure of this size in inches, in the style of the page."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def svg(figure: "Figure", key: str, alt: str) -> str:
    """The figure as an SVG element, with ids of its own, no metadata and no address in it.

    Args:
        figure: a figure made by `drawing`, inside its block.
        key: begins every id, so that several drawings share a page.
        alt: what it shows, in words.
    """
    from matplotlib import rc_context

    stream = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with rc_context({"svg.hashsalt": key}):
        figure.savefig(stream, format="svg", metadata=nothing, dpi=110)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    for old, new in ((INK, "currentColor"), (FAINT, "var(--faint)")):
        text = text.replace(old, new)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    text = re.sub(r'\sid="([^"]*)"', lambda m: f' id="{key}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r'(href="#|url\(#)', rf"\1{key}-", text)
    opening = f'<svg role="img" aria-label="{escape(alt)}"'
    return _FONT.sub("sans-serif", text).replace("<svg", opening, 1)
