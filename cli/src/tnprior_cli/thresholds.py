"""`--require "fid<30"`: numbers that have to be on the right side of a threshold."""

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tnprior_cli.errors import ThresholdMissedError, UsageError
from tnprior_cli.matching import unknown

SHORT = {
    "fid": "inception-fid",
    "frechet": "classifier-frechet",
    "accuracy": "generated-accuracy",
    "imputation": "imputation-accuracy",
    "ece": "imputation/ece",
    "elbo": "bound/elbo",
}
"""Short names for the numbers that are asked for most."""

_FORM = re.compile(r"\s*(?P<name>.+?)\s*(?P<sign><=|>=|<|>)\s*(?P<limit>[^<>=\s]+)\s*")
_SIGNS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Threshold:
    """A number by its name in the report, and what it has to be."""

    name: str
    sign: str
    limit: float

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.limit:g}"

    def met_by(self, value: float) -> bool:
        """Whether the value satisfies it; NaN never does."""
        return _SIGNS[self.sign](value, self.limit)


def parse_threshold(text: str) -> Threshold:
    """Reads `fid<30`, `imputation-accuracy>=0.96`, ...

    >>> str(parse_threshold("fid < 30"))
    'inception-fid<30'

    Raises:
        UsageError: the text has another form.
    """
    match = _FORM.fullmatch(text)
    try:
        limit = float(match["limit"]) if match else math.nan
    except ValueError:
        limit = math.nan
    if match is None or math.isnan(limit):
        raise UsageError(f"cannot read --require {text!r}; expected NAME<NUMBER, as in --require 'fid<30'")
    return Threshold(SHORT.get(match["name"], match["name"]), match["sign"], limit)


def require_measurable(thresholds: Iterable[Threshold], *, fid: bool) -> None:
    """Refuses, before anything is measured, a threshold on a number that will not be.

    Raises:
        UsageError: the FID is required and there are no weights to compute it with.
    """
    for threshold in thresholds:
        if threshold.name.startswith("inception") and not fid:
            raise UsageError(
                f"--require {threshold} needs --inception-weights FILE, or --inception-weights download"
            )


def check_thresholds(thresholds: Iterable[Threshold], values: Mapping[str, float]) -> None:
    """Raises when a number is on the wrong side.

    Raises:
        UsageError: the report has no number of that name.
        ThresholdMissedError: names every threshold that is missed, with the number.
    """
    missed = []
    for threshold in thresholds:
        if threshold.name not in values:
            raise UsageError(unknown("number in --require", threshold.name, [*values, *SHORT]))
        value = values[threshold.name]
        if not threshold.met_by(value):
            missed.append(f"{threshold.name} is {value:.6g}, required {threshold.sign} {threshold.limit:g}")
    if missed:
        raise ThresholdMissedError("; ".join(missed))
