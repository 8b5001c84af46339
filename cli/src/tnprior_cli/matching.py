"""Messages for a name that does not exist: the closest one, and the allowed list."""

from collections.abc import Iterable
from difflib import get_close_matches

_SHOWN = 24


def unknown(kind: str, got: str, known: Iterable[str]) -> str:
    """One line that names the mistake, the nearest name and what is allowed.

    >>> unknown("attribute", "hatt", ["male", "hat"])
    "unknown attribute 'hatt'; did you mean 'hat'? (allowed: male, hat)"
    """
    names = list(known)
    near = closest(got, names)
    hint = f"; did you mean {near!r}?" if near else ";"
    shown = ", ".join(names[:_SHOWN]) + (f", ... {len(names)} in all" if len(names) > _SHOWN else "")
    return f"unknown {kind} {got!r}{hint} (allowed: {shown or 'none'})"


def closest(got: str, known: Iterable[str]) -> str | None:
    """The nearest of the known names, upper and lower case alike; None when nothing is near.

    >>> closest("MALE", ["male", "hat"]), closest("zebra", ["male", "hat"])
    ('male', None)
    """
    by_folded = {name.casefold(): name for name in known}
    near = get_close_matches(got.casefold(), by_folded, n=1)
    return by_folded[near[0]] if near else None
