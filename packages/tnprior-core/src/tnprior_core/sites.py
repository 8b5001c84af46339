"""What sits on a leg of the network: a continuous latent or a categorical attribute."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tnprior_core.errors import EvidenceError, SiteError

__all__ = ["Categorical", "Gaussian", "Site", "check_sites", "find_site"]


@dataclass(frozen=True)
class Gaussian:
    """A continuous variable whose density is a mixture of `components` normal densities.

    `p(z_k | s_k) = N(z_k; mu_{k,s_k}, sigma_{k,s_k}^2)`, the index `s_k` being the leg of the core.

    name
        how queries call the site; not empty.
    components
        N_k >= 1.

    Raises SiteError when a setting is impossible. Source: Kuznetsov et al. 2019, equation 3.

    >>> Gaussian("z0", components=10).states
    10
    """

    name: str
    components: int = 10

    def __post_init__(self) -> None:
        """Check the settings."""
        _check_name(self.name)
        if self.components < 1:
            raise SiteError(f"site {self.name!r}: expected components >= 1, received {self.components}")

    @property
    def states(self) -> int:
        """Number of values of the core's index, N_k."""
        return self.components


@dataclass(frozen=True)
class Categorical:
    """A discrete variable; the core's index is its value.

    name
        how queries call the site; not empty.
    labels
        the values in the order of their integer codes; at least two, all different, strings.

    Raises SiteError when a setting is impossible.

    >>> Categorical("hat", ("0", "1")).code("1")
    1
    """

    name: str
    labels: tuple[str, ...] = ("0", "1")

    def __post_init__(self) -> None:
        """Check the settings and freeze the labels."""
        _check_name(self.name)
        labels = tuple(self.labels)
        if len(labels) < 2:
            raise SiteError(f"site {self.name!r}: expected at least two labels, received {labels}")
        if not all(isinstance(label, str) for label in labels) or len(set(labels)) != len(labels):
            raise SiteError(f"site {self.name!r}: expected different strings as labels, received {labels}")
        object.__setattr__(self, "labels", labels)

    @property
    def states(self) -> int:
        """Number of values of the core's index, N_k."""
        return len(self.labels)

    def code(self, label: str) -> int:
        """Return the integer code of a label; EvidenceError names the closest one if it is unknown.

        >>> Categorical("digit", ("3", "5")).code("5")
        1
        """
        if label not in self.labels:
            raise EvidenceError(f"site {self.name!r} has no label {label!r}; {suggest(label, self.labels)}")
        return self.labels.index(label)


Site = Gaussian | Categorical


def check_sites(sites: Iterable[Site]) -> tuple[Site, ...]:
    """Return the sites as a tuple after checking that there is one and that the names differ.

    >>> check_sites([Gaussian("z0"), Categorical("hat")])[1].name
    'hat'
    """
    found = tuple(sites)
    if not found:
        raise SiteError("expected at least one site, received none")
    names = Counter(site.name for site in found)
    if len(names) < len(found):
        twice = sorted(name for name, times in names.items() if times > 1)
        raise SiteError(f"expected different names, received {', '.join(map(repr, twice))} more than once")
    return found


def find_site(sites: Sequence[Site], name: str) -> int:
    """Return the position of the site called `name`; SiteError names the closest one otherwise.

    >>> find_site([Gaussian("z0"), Categorical("hat")], "hat")
    1
    """
    names = [site.name for site in sites]
    if name not in names:
        raise SiteError(f"there is no site {name!r}; {suggest(name, names)}")
    return names.index(name)


def suggest(name: object, allowed: Sequence[str]) -> str:
    """Return the end of an error message: the closest allowed word, if any, and the list of them.

    >>> suggest("hta", ["hat", "male"])
    "did you mean 'hat'? Allowed: hat, male"
    """
    close = difflib.get_close_matches(str(name), allowed, n=1)
    shown = ", ".join(allowed[:40]) + (", ..." if len(allowed) > 40 else "")
    return (f"did you mean {close[0]!r}? " if close else "") + f"Allowed: {shown}"


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not name:
        raise SiteError(f"expected a name that is not empty, received {name!r}")
