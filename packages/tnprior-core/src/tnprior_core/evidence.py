"""What may be known about a site: every kind of evidence becomes one log-weight row.

The words a user writes (`OneOf`, `Not`, `Likelihood`, `Between`, `Noisy`, a label, a number) are plain
values. `Soft` and `Exact` hold what they mean; conditions on one site compose by multiplying likelihoods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from tnprior_core.errors import EvidenceError

__all__ = ["Between", "Likelihood", "Noisy", "Not", "OneOf", "Word"]


@dataclass(frozen=True, init=False)
class OneOf:
    """The value of a categorical site is one of these labels.

    >>> OneOf("blond", "brown").labels
    ('blond', 'brown')
    """

    labels: tuple[str, ...]

    def __init__(self, *labels: str) -> None:
        """Take the labels one by one."""
        object.__setattr__(self, "labels", labels)


@dataclass(frozen=True, init=False)
class Not:
    """The value of a categorical site is none of these labels.

    >>> Not("3").labels
    ('3',)
    """

    labels: tuple[str, ...]

    def __init__(self, *labels: str) -> None:
        """Take the labels one by one."""
        object.__setattr__(self, "labels", labels)


@dataclass(frozen=True, eq=False)
class Likelihood:
    """A measurement `e` of a categorical site, given as `p(e | label)` for each label.

    weights
        (C,) or (B, C), non-negative and not all zero; only their ratios matter for what follows,
        their size enters `log_evidence`.

    >>> Likelihood([0.2, 0.8]).weights
    [0.2, 0.8]
    """

    weights: Tensor | Sequence[float] | Sequence[Sequence[float]]


@dataclass(frozen=True, eq=False)
class Between:
    """The value of a continuous site lies in the interval `[low, high]`.

    Numbers, or tensors (B,) for one interval per example; infinite ends are allowed.

    >>> Between(0.0, 2.0).high
    2.0
    """

    low: float | Tensor
    high: float | Tensor


@dataclass(frozen=True, eq=False)
class Noisy:
    """A measurement of a continuous site: `value ~ N(z, sigma^2)`.

    Numbers, or tensors (B,); sigma is a standard deviation, above zero.

    >>> Noisy(0.3, sigma=0.1).value
    0.3
    """

    value: float | Tensor
    sigma: float | Tensor


Word = str | float | int | Tensor | Sequence[str | None] | OneOf | Not | Likelihood | Between | Noisy


def unfit(name: str, word: object, expected: str) -> EvidenceError:
    """Return the error for a kind of evidence that does not fit its site.

    >>> print(unfit("z0", "1", "a number"))
    site 'z0': expected a number, received '1'
    """
    return EvidenceError(f"site {name!r}: expected {expected}, received {word!r}")
