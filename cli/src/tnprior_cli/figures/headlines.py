"""The numbers that answer what a person asks first, each with its interval and one plain sentence."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tnprior_cli.figures.wording import interval, number, percent
from tnprior_eval import Report, Row


@dataclass(frozen=True)
class Beside:
    """A number to hold another one against, and the words that introduce it."""

    name: str
    value: float
    text: str
    words: str


@dataclass(frozen=True)
class Headline:
    """A number of the report as a person reads it.

    Args:
        name: its name in the report.
        value: in full.
        text: with its unit.
        title: what it is, in a few words.
        meaning: what it says, in one sentence.
        interval: its 95 % interval, empty where there is none.
        n: how many things it averages.
        protocol: how it was measured.
        beside: what to hold it against, if there is anything.
    """

    name: str
    value: float
    text: str
    title: str
    meaning: str
    interval: str
    n: int
    protocol: str
    beside: Beside | None


@dataclass(frozen=True)
class _Kind:
    """Names in the report, of which the first that is there is taken; a name may end in `*`."""

    names: tuple[str, ...]
    title: str
    meaning: str
    unit: str = ""
    beside: tuple[str, ...] = ()
    words: str = ""


_SHARE = "share"
_KINDS = (
    _Kind(
        ("generated-accuracy",),
        "Generated as requested",
        "Objects were generated with every attribute requested, as in real test objects; a classifier trained on real "
        "objects sees this share of the requests fulfilled.",
        _SHARE,
        ("classifier-accuracy",),
        "on real test objects the classifier itself is right in",
    ),
    _Kind(
        ("imputation-accuracy/mean", "imputation-accuracy"),
        "Labels filled in right",
        "From the image alone, with every label hidden, the model's most probable label is the true one this often "
        "(mean over attributes).",
        _SHARE,
        ("imputation-majority/mean", "imputation-majority"),
        "always answering the commonest label would be right in",
    ),
    _Kind(
        ("imputation/ece",),
        "Calibration error",
        "By so much the probability that the model states for a filled-in label differs, on average, from how often "
        "it is right; 0 is perfect.",
        _SHARE,
    ),
    _Kind(
        ("diversity/mean",),
        "Variety of free samples",
        "Entropy of the classifier's answers on objects generated without any request, mean over attributes: how much "
        "the attributes vary from object to object.",
        "nats",
        ("diversity/mean/model",),
        "the model itself says",
    ),
    _Kind(
        ("inception-fid",),
        "FID",
        "Distance between generated and as many real objects in Inception features; 0 would be indistinguishable.",
    ),
    _Kind(
        ("classifier-frechet",),
        "Fréchet distance",
        "Distance between generated and as many real test objects in the classifier's features; 0 would be "
        "indistinguishable, and only runs judged by the same classifier with the same n compare. It is not an FID.",
    ),
    _Kind(
        ("classifier/precision",),
        "Precision",
        "This share of the generated objects lies where real ones are: do they look real?",
        _SHARE,
    ),
    _Kind(
        ("classifier/recall",),
        "Recall",
        "This share of the real test objects lies where generated ones are: is everything covered?",
        _SHARE,
    ),
    _Kind(
        ("classifier/vendi-score",),
        "Different objects",
        "The generated objects amount to this many that have nothing in common, whether they look real or not (Vendi "
        "score in the classifier's features); only the same n compares.",
        "",
        ("classifier/vendi-score/real",),
        "as many real test objects amount to",
    ),
    _Kind(
        ("bound/iwae-*", "bound/elbo"),
        "Log-likelihood, at least",
        "A lower bound on how much probability the model gives a test image, in nats; higher is better, and only "
        "models of the same data with the same kind of pixels compare.",
        "nats",
        ("bound/iwae-*-bits", "bound/elbo-bits"),
        "in bits per pixel and channel at most",
    ),
)


def headlines(report: Report) -> tuple[Headline, ...]:
    """Those of the numbers that the report has, the most asked for first."""
    rows = {row.name: row for row in report.rows()}
    return tuple(found for kind in _KINDS for found in _found(kind, rows))


def _found(kind: _Kind, rows: Mapping[str, Row]) -> Iterator[Headline]:
    row = _first(kind.names, rows)
    if row is None:
        return
    held = _first(kind.beside, rows)
    beside = None
    if held is not None:
        unit = "" if held.name.endswith("-bits") else kind.unit
        beside = Beside(held.name, held.estimate.value, _text(held.estimate.value, unit), kind.words)
    yield Headline(
        name=row.name,
        value=row.estimate.value,
        text=_text(row.estimate.value, kind.unit),
        title=kind.title,
        meaning=kind.meaning,
        interval=interval(row.estimate, as_percent=kind.unit == _SHARE),
        n=row.estimate.n,
        protocol=row.protocol.describe(),
        beside=beside,
    )


def _first(names: tuple[str, ...], rows: Mapping[str, Row]) -> Row | None:
    for name in names:
        start, star, end = name.partition("*")
        for known, row in rows.items():
            if known == name or (
                star and known.startswith(start) and known[len(start) :].strip("0123456789") == end
            ):
                return row
    return None


def _text(value: float, unit: str) -> str:
    return percent(value) if unit == _SHARE else f"{number(value)} {unit}".rstrip()
