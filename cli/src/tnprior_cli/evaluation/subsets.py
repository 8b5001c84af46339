"""Conditions on a few attributes worth looking at: the papers' for faces, common enough pairs and triples else."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from torch import Tensor

from tnprior_cli.conditions import evidence_of
from tnprior_cli.errors import UsageError
from tnprior_cli.given import Condition, Term, describe, parse_given
from tnprior_data import Attribute, AttributeTable, UnknownNameError, resolve

FACES: tuple[tuple[str, dict[str, str]], ...] = (
    ("young man", {"Male": "1", "Young": "1"}),
    ("smiling woman in eyeglasses", {"Male": "0", "Smiling": "1", "Eyeglasses": "1"}),
    ("smiling woman wearing hat", {"Male": "0", "Smiling": "1", "Wearing_Hat": "1"}),
    ("blond woman wearing eyeglasses", {"Male": "0", "Blond_Hair": "1", "Eyeglasses": "1"}),
    (
        "attractive bearded man wearing hat",
        {"Attractive": "1", "No_Beard": "0", "Male": "1", "Wearing_Hat": "1"},
    ),
)
"""The sample table of VAE-TTLP (Kuznetsov et al. 2018), with the sex that each phrase names."""

SIZES = (2, 2, 3, 3)  # attributes of the conditions that are chosen from the data
RAREST, COMMONEST = 0.01, 0.5
CONSIDERED = 14  # attributes; pairs and triples of more would be too many to count


@dataclass(frozen=True)
class Subset:
    """A condition and what a person would call it."""

    title: str
    condition: Condition


def read_conditions(texts: Sequence[str], schema: Sequence[Attribute]) -> tuple[Condition, ...]:
    """The conditions that the user named, one per text.

    Raises:
        UsageError: a text is malformed, restricts nothing, or says the same as another.
        UnknownNameError: an attribute or a label does not exist.
    """
    conditions: list[Condition] = []
    for text in texts:
        condition = parse_given([text])
        if not evidence_of(condition, schema):
            raise UsageError(
                f"--given {text!r} restricts nothing; name at least one attribute, as in male=1,hat=1"
            )
        if condition in conditions:
            raise UsageError(f"--given {text!r} is there twice; keep one")
        conditions.append(condition)
    return tuple(conditions)


def chosen_subsets(
    given: Sequence[Condition], schema: Sequence[Attribute], table: AttributeTable
) -> tuple[Subset, ...]:
    """The user's conditions; without any, the phrases of the papers that the schema can say; else common subsets.

    Args:
        given: the user's conditions.
        schema: the attributes.
        table: training labels, for how common a subset is.
    """
    if given:
        return tuple(Subset(describe(condition), condition) for condition in given)
    spoken = tuple(subset for title, labels in FACES for subset in _spoken(title, labels, schema))
    return spoken or common_subsets(schema, table)


def common_subsets(schema: Sequence[Attribute], table: AttributeTable) -> tuple[Subset, ...]:
    """Two pairs and two triples of labels, each shared by 1 to 50 % of the objects that have all those labels.

    At least one attribute stays free. Attributes that no earlier condition has used come first, then the more
    common condition; the choice is the same every time.
    """
    used: dict[str, int] = {}
    found: list[Condition] = []
    for size in SIZES:
        best = min(
            (
                (sum(used.get(term.name, 0) for term in condition), -share, describe(condition), condition)
                for condition, share in _shares(schema[:CONSIDERED], table, size)
                if condition not in found
            ),
            default=None,
        )
        if best is None:
            continue
        found.append(best[-1])
        used |= {term.name: used.get(term.name, 0) + 1 for term in best[-1]}
    return tuple(Subset(describe(condition), condition) for condition in found)


def _spoken(title: str, labels: dict[str, str], schema: Sequence[Attribute]) -> Iterator[Subset]:
    """The phrase as a condition, if the schema has all its attributes with these labels."""
    try:
        attributes = [resolve(schema, word) for word in labels]
    except UnknownNameError:
        return
    if all(attribute.labels == ("0", "1") for attribute in attributes):
        pairs = zip(attributes, labels.values(), strict=True)
        yield Subset(title, tuple(Term(attribute.name, "is", (label,)) for attribute, label in pairs))


def _shares(
    schema: Sequence[Attribute], table: AttributeTable, size: int
) -> Iterator[tuple[Condition, float]]:
    """Conditions on `size` attributes by their last label ("1" of yes and no) and how common they are."""
    columns = [(_is_last(table, a, attribute), table.observed[:, a]) for a, attribute in enumerate(schema)]
    for chosen in combinations(range(len(schema)), size) if size < len(schema) else ():
        known = _all([columns[a][1] for a in chosen])
        share = (
            float(_all([columns[a][0] for a in chosen])[known].double().mean()) if bool(known.any()) else 0.0
        )
        if RAREST <= share <= COMMONEST:
            yield tuple(Term(schema[a].name, "is", (schema[a].labels[-1],)) for a in chosen), share


def _is_last(table: AttributeTable, column: int, attribute: Attribute) -> Tensor:
    return (table.codes[:, column] == len(attribute.labels) - 1) & table.observed[:, column]


def _all(columns: Sequence[Tensor]) -> Tensor:
    result = columns[0]
    for column in columns[1:]:
        result = result & column
    return result
