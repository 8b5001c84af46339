"""The exceptions of tnprior_core: one base type, named by what went wrong."""

from __future__ import annotations

__all__ = [
    "EvidenceError",
    "ImpossibleEvidenceError",
    "QueryError",
    "ShapeError",
    "SiteError",
    "TnpriorError",
]


class TnpriorError(Exception):
    """Base of every error a user of tnprior can cause.

    >>> issubclass(SiteError, TnpriorError)
    True
    """


class SiteError(TnpriorError):
    """A site is unknown, declared twice, or declared with impossible settings.

    >>> from tnprior_core import Categorical
    >>> try:
    ...     Categorical("hat", ("1",))
    ... except SiteError as error:
    ...     print(error)
    site 'hat': expected at least two labels, received ('1',)
    """


class ShapeError(TnpriorError):
    """A tensor does not have the shape the query asks for.

    >>> issubclass(ShapeError, TnpriorError)
    True
    """


class EvidenceError(TnpriorError):
    """Evidence does not fit its site: an unknown label, a negative width, a wrong kind.

    >>> issubclass(EvidenceError, TnpriorError)
    True
    """


class ImpossibleEvidenceError(EvidenceError):
    """The evidence has probability zero, so nothing can be conditioned on it.

    >>> issubclass(ImpossibleEvidenceError, EvidenceError)
    True
    """


class QueryError(TnpriorError):
    """The distribution cannot answer this query, and the message says what can.

    >>> issubclass(QueryError, TnpriorError)
    True
    """
