"""From the terms of `--given` to the evidence that a prior understands, checked against the run's attributes."""

from collections.abc import Mapping, Sequence
from typing import Any

from tnprior_cli.errors import ImpossibleRequestError, UsageError
from tnprior_cli.given import Condition, Term
from tnprior_core import Not, OneOf
from tnprior_data import Attribute, resolve

Evidence = Mapping[str, Any]


def evidence_of(condition: Condition, schema: Sequence[Attribute]) -> Evidence:
    """The evidence of a condition, by attribute name; free attributes are absent.

    Raises:
        UsageError: two names mean the same attribute.
        UnknownNameError: an attribute or a label does not exist.
        ImpossibleRequestError: a negation leaves no label.
    """
    evidence: dict[str, Any] = {}
    meant: dict[str, str] = {}
    for term in condition:
        attribute = resolve(schema, term.name)
        if attribute.name in meant:
            raise UsageError(
                f"{meant[attribute.name]!r} and {term.name!r} both mean {attribute.name!r}; keep one"
            )
        meant[attribute.name] = term.name
        for label in term.labels:
            attribute.code(label)
        if term.relation != "free":
            evidence[attribute.name] = _word(term, attribute)
    return evidence


def requested_codes(condition: Condition, schema: Sequence[Attribute]) -> dict[str, frozenset[str]]:
    """For every attribute that the condition restricts, the labels it allows."""
    allowed: dict[str, frozenset[str]] = {}
    for term in condition:
        if term.relation == "free":
            continue
        attribute = resolve(schema, term.name)
        named = frozenset(term.labels)
        allowed[attribute.name] = named if term.relation == "is" else frozenset(attribute.labels) - named
    return allowed


def _word(term: Term, attribute: Attribute) -> Any:
    if term.relation == "is not":
        if set(term.labels) >= set(attribute.labels):
            raise ImpossibleRequestError(
                f"{term} leaves no label of {attribute.name} ({', '.join(attribute.labels)})"
            )
        return Not(*term.labels)
    return term.labels[0] if len(term.labels) == 1 else OneOf(*term.labels)
