"""The reliability diagram of the filled-in labels."""

from typing import Any

import numpy as np

from tnprior_cli.figures.exhibit import Exhibit, Plot
from tnprior_cli.figures.ink import COLOURS, FAINT, INK, drawing, svg
from tnprior_cli.figures.wording import percent
from tnprior_eval import ImputationResult, Reliability, Report, wilson_interval


def reliability_diagram(report: Report) -> Exhibit | None:
    """Confidence against accuracy, with counts; nothing when no label was filled in."""
    found = next((result for result in report.results if isinstance(result, ImputationResult)), None)
    if found is None:
        return None
    bins = found.calibration.overall.width
    with drawing(4.6, 4.4) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        _gaps(upper, bins)
        _counts(lower, bins)
        drawn = svg(figure, "reliability", "accuracy of filled-in labels against the stated probability")
    title = f"Are the stated probabilities right? Calibration error (ECE) {bins.error.value:.4f}"
    return Exhibit("reliability", title, _caption(bins), Plot(drawn))


def _caption(bins: Reliability) -> str:
    return (
        f"The {sum(bins.counts)} filled-in test labels by the probability that the model states for its answer. "
        "On the diagonal the model is right exactly as often as it says; above it, it is too modest, below it too "
        f"sure. The error averages the gaps by the counts below: {percent(bins.error.value)} here, where a perfectly "
        f"calibrated model would show {percent(bins.error_if_calibrated)} from chance alone. "
        "Bars are 95 % intervals; the scale of the counts is logarithmic."
    )


def _gaps(axes: Any, bins: Reliability) -> None:
    edges, used = np.array(bins.edges), np.array(bins.counts) > 0
    confidence, accuracy = np.array(bins.confidence)[used], np.array(bins.accuracy)[used]
    counts = np.array(bins.counts)[used]
    axes.bar(
        edges[:-1][used], accuracy, width=np.diff(edges)[used], align="edge", color=COLOURS[0], alpha=0.35
    )
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--")
    axes.errorbar(
        confidence, accuracy, _error_bars(accuracy, counts), fmt="o", color=INK, markersize=4, linewidth=1
    )
    axes.set(
        ylabel="share that is right", ylim=(0, 1.02), xlim=(max(0.0, edges[:-1][used].min() - 0.02), 1.0)
    )


def _error_bars(accuracy: Any, counts: Any) -> Any:
    """Distances to the ends of the 95 % intervals, below and above."""
    intervals = [wilson_interval(float(share), int(n)) for share, n in zip(accuracy, counts, strict=True)]
    below = [share - item.low for share, item in zip(accuracy, intervals, strict=True)]
    above = [item.high - share for share, item in zip(accuracy, intervals, strict=True)]
    return np.clip([below, above], 0.0, 1.0)


def _counts(axes: Any, bins: Reliability) -> None:
    edges, counts = np.array(bins.edges), np.array(bins.counts)
    used = counts > 0
    middle = (edges[:-1] + edges[1:]) / 2
    axes.bar(
        edges[:-1][used], counts[used], width=np.diff(edges)[used], align="edge", color=COLOURS[7], alpha=0.6
    )
    axes.set(yscale="log", ylabel="labels", xlabel="stated probability of the answer")
    axes.set_ylim(0.7, counts.max() * 6)
    for x, count in zip(middle[used], counts[used], strict=True):
        axes.text(x, count * 1.2, str(count), ha="center", fontsize=6)
