"""How often a request is not met: attribute by attribute, by the number of attributes that were requested."""

from collections.abc import Iterator

from tnprior_cli.figures.exhibit import Cell, Exhibit, Line, Quantity, Table
from tnprior_cli.figures.wording import interval, percent
from tnprior_eval import Estimate, GivenCount, Report, ViolationResult

CAPTION = (
    "Objects were generated for requests of so many attributes, which ones being drawn at random, with the labels "
    "of a random test object; a request counts as violated where the classifier sees another label. Small print: "
    "95 % intervals (Wilson), and what the classifier makes of the very test objects that the requests were taken "
    "from. Its own mistakes are in both numbers, so the difference is the model's. Any of them: objects in which at "
    "least one request is violated."
)
GENERATED, REAL = "condition-violation", "classifier-violation"


def violated_requests(report: Report) -> Exhibit | None:
    """A line for all pairs, one for objects with any violation, one for each attribute; a column for each number.

    Nothing where requests of several attributes were not measured.
    """
    found = {item.label: item for item in report.results if isinstance(item, ViolationResult)}
    generated, real = found.get(GENERATED), found.get(REAL)
    if generated is None or real is None:
        return None
    counts = [count.given for count in generated.by_given]
    heads = tuple(_head(count, len(generated.attributes)) for count in counts)
    beside = {count.given: count for count in real.by_given}
    pairs = [(count, beside[count.given]) for count in generated.by_given]
    return Exhibit(
        "violations",
        "Requests that are not met",
        CAPTION,
        Table(("requested", *heads), tuple(_lines(pairs, list(generated.attributes)))),
    )


def _head(count: int, attributes: int) -> str:
    if count == attributes:
        return f"all {attributes}"
    return "1 attribute" if count == 1 else f"{count} attributes"


def _lines(pairs: list[tuple[GivenCount, GivenCount]], names: list[str]) -> Iterator[Line]:
    yield Line(
        "all requests", tuple(_cell(f"given={g.given}", g.pairs, r.pairs) for g, r in pairs), strong=True
    )
    yield Line(
        "any of them",
        tuple(_cell(f"given={g.given}/any", g.any_violated, r.any_violated) for g, r in pairs),
        strong=True,
    )
    for name in names:
        yield Line(name, tuple(_cell("", g.attributes[name], r.attributes[name]) for g, r in pairs))


def _cell(name: str, generated: Estimate, real: Estimate) -> Cell:
    """A rate with its interval, and the judge's own; without a name it is no number of its own in the report."""
    if not generated.n:
        return Cell(None, "not requested")
    text = percent(generated.value)
    known = f"{GENERATED}/{name}" if name else ""
    quantity = Quantity(known, generated.value, text, interval=interval(generated, as_percent=True))
    return Cell(quantity, f"test objects {percent(real.value)}")
