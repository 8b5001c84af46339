"""Samples for conditions on a few attributes, with what was measured on them."""

from collections.abc import Callable, Iterator, Sequence

from tnprior_cli.evaluation.conditioned import ConditionedSamples
from tnprior_cli.figures.exhibit import Exhibit, Quantity, Strip, Strips
from tnprior_cli.figures.strip import strip
from tnprior_cli.figures.wording import interval, percent
from tnprior_cli.given import describe
from tnprior_eval import Row

CAPTION = (
    "One row per condition on a few attributes; the rest is left free and should vary from image to image. "
    "p(condition) is the model's own: exact under a prior that joins latents and labels, estimated where a network "
    "reads the labels off the latents. The hit rate is the share of requested attributes that the classifier sees "
    "in the generated images. Variety is the entropy (nats per free attribute) of the classifier's answers on the "
    "attributes that were left free; beside it stands what the model itself says it should be, the conditional "
    "entropy of their marginals, exact or estimated like p(condition). Much lower means that the images vary less "
    "than the model knows; somewhat higher is usual, because the classifier's own mistakes look like variety. "
    "Different objects, in effect, is the Vendi score of the images in the classifier's features: what varies besides "
    "attributes counts, too, noise as well."
)


def subset_conditions(conditioned: Sequence[ConditionedSamples]) -> Exhibit | None:
    """A row per condition; nothing when none was measured."""
    if not conditioned:
        return None
    rows = tuple(_row(item) for item in conditioned)
    return Exhibit("subsets", "Conditions on a few attributes", CAPTION, Strips(rows))


def _row(item: ConditionedSamples) -> Strip:
    text = describe(item.subset.condition)
    condition = "" if text == item.subset.title else text
    quantities = tuple(_quantities(item.result.rows()))
    return Strip(item.subset.title, strip(item.shown, f"samples given {text}"), condition, quantities)


def _quantities(rows: Sequence[Row]) -> Iterator[Quantity]:
    for row in rows:
        value, kind = row.estimate.value, _kind(row.name)
        if kind in _SHOWN:
            label, text = _SHOWN[kind]
            bounds = interval(row.estimate, as_percent=text is percent)
            yield Quantity(row.name, value, text(value), label, bounds)


def _kind(name: str) -> str:
    """What comes after the condition, whatever stands in it."""
    return next((kind for kind in sorted(_SHOWN, key=len, reverse=True) if name.endswith(f"/{kind}")), "")


_SHOWN: dict[str, tuple[str, Callable[[float], str]]] = {
    "log-p": ("log p(condition)", "{:.2f} nats".format),
    "hits": ("hit rate", percent),
    "all-hits": ("images with all hits", percent),
    "entropy": ("variety of the free attributes", "{:.2f} nats".format),
    "entropy/model": ("the model's own", "{:.2f} nats".format),
    "vendi-score": ("different objects, in effect", "{:.3g}".format),
}
"""Numbers of a condition: what they are called, and how they are written."""
