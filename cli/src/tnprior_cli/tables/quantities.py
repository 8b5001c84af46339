"""The numbers that `tnp eval` puts into report.json, by name: what a column of a table may show."""

import re

from tnprior_cli.errors import UsageError
from tnprior_cli.matching import unknown

NAMES = (
    "bound/elbo",
    "bound/elbo-bits",
    "classifier-accuracy",
    "classifier-frechet",
    "classifier-frechet/bias-corrected",
    "classifier-kernel-distance",
    "classifier-violation",
    "classifier-violation/any",
    "classifier/precision",
    "classifier/recall",
    "classifier/vendi-score",
    "condition-violation",
    "condition-violation/any",
    "generated-accuracy",
    "imputation-accuracy",
    "imputation-majority",
    "imputation/brier",
    "imputation/ece",
    "imputation/ece-equal-mass",
    "imputation/nll",
    "inception-fid",
    "inception-fid/bias-corrected",
    "joint-bound/elbo",
)
"""Names that do not depend on the data; each may be followed by an attribute, as in `imputation/ece/hat`."""

FAMILIES = ("condition", "diversity")
"""First parts of names whose rest depends on the data, as in `diversity/hat`."""

_WITH_NUMBER = re.compile(r"bound/iwae-\d+(-bits)?|joint-bound/iwae-\d+")
_OWN_FEATURES = ("classifier-frechet", "classifier-kernel-distance", "classifier/")


def check_quantity(name: str) -> str:
    """The name, if a report can have a number of that name.

    >>> check_quantity("imputation-accuracy/hat")
    'imputation-accuracy/hat'

    Raises:
        UsageError: with the closest name.
    """
    stems = [name[: match.start()] for match in re.finditer("/", name)]
    if (
        _WITH_NUMBER.fullmatch(name)
        or any(item in NAMES for item in (name, *stems))
        or set(stems) & set(FAMILIES)
    ):
        return name
    raise UsageError(unknown("number of a report", name, NAMES))


def is_comparable(name: str) -> bool:
    """Whether a published number can be the same quantity.

    A Fréchet distance in the features of a classifier of one's own has no published counterpart: papers give
    the FID, in Inception features.

    >>> is_comparable("generated-accuracy"), is_comparable("classifier-frechet")
    (True, False)
    """
    return not name.startswith(_OWN_FEATURES)
