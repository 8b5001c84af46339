"""Attributes: their names, their labels in order, and the other words people use for them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .errors import DataError, UnknownNameError, unknown


@dataclass(frozen=True)
class Attribute:
    """One categorical attribute; code c stands for `labels[c]`.

    Args:
        name: the attribute's name, as in the data.
        labels: its labels in order, strings as in the data ("0", "1", "red", ...), none of them empty
            (an empty cell means missing).
        aliases: other names with the same meaning.
        opposites: names with the opposite meaning (`beard` for `No_Beard`). They are never resolved,
            because `beard=1` would then mean `No_Beard=1`; the error says how to write it instead.

    Raises:
        DataError: the name is empty, or the labels are empty, repeated or not strings.

    >>> hat = Attribute("Wearing_Hat", ("0", "1"), aliases=("hat",))
    >>> hat.code("1")
    1
    """

    name: str
    labels: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    opposites: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.name:
            raise DataError(f"an attribute needs a name; got an empty one with the labels {self.labels!r}")
        if not self.labels or not all(isinstance(label, str) and label for label in self.labels):
            raise DataError(
                f"attribute {self.name!r}: labels are non-empty strings (an empty cell means missing); "
                f"got {self.labels!r}"
            )
        if len(set(self.labels)) != len(self.labels):
            raise DataError(f"attribute {self.name!r}: labels stand twice in {self.labels!r}")

    def code(self, label: str) -> int:
        """The integer code of a label.

        Raises:
            UnknownNameError: with the closest match and the allowed labels.
        """
        try:
            return self.labels.index(label)
        except ValueError:
            kind = f"label of attribute {self.name!r}"
            raise UnknownNameError(unknown(kind, label, self.labels)) from None


Schema = tuple[Attribute, ...]


def fold(word: str) -> str:
    """The form in which names are compared: case, dashes and blanks do not matter.

    >>> fold("Wearing Hat") == fold("wearing_hat")
    True
    """
    return word.strip().casefold().replace("-", "_").replace(" ", "_")


def resolve(schema: Sequence[Attribute], word: str) -> Attribute:
    """Find an attribute by its name, in any case, or by one of its aliases.

    An exact name wins over a name in another case, and that over an alias.

    Raises:
        UnknownNameError: nothing fits (with the closest match and the allowed names), the word fits two
            attributes, or the word means the opposite of an attribute.

    >>> schema = (Attribute("Wearing_Hat", ("0", "1"), aliases=("hat",)),)
    >>> resolve(schema, "HAT").name
    'Wearing_Hat'
    """
    key = fold(word)
    for matches in (
        [a for a in schema if a.name == word],
        [a for a in schema if fold(a.name) == key],
        [a for a in schema if key in map(fold, a.aliases)],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise UnknownNameError(
                f"attribute {word!r} could be any of {', '.join(a.name for a in matches)}: write one of these"
            )
    for attribute in schema:
        if key in map(fold, attribute.opposites):
            raise UnknownNameError(_opposite(word, attribute))
    raise UnknownNameError(_closest(schema, word))


def select(schema: Sequence[Attribute], words: Iterable[str]) -> tuple[int, ...]:
    """The positions of the named attributes in `schema`, in the order of the words.

    Raises:
        UnknownNameError: as in `resolve`.
        DataError: two words name the same attribute.

    >>> select((Attribute("hat", ("0", "1")), Attribute("male", ("0", "1"))), ["MALE", "hat"])
    (1, 0)
    """
    chosen: dict[str, str] = {}
    positions = {attribute.name: k for k, attribute in enumerate(schema)}
    for word in words:
        name = resolve(schema, word).name
        if name in chosen:
            raise DataError(f"attribute {name!r} is selected twice, as {chosen[name]!r} and as {word!r}")
        chosen[name] = word
    return tuple(positions[name] for name in chosen)


def _closest(schema: Sequence[Attribute], word: str) -> str:
    """Like `unknown`, with aliases taking part in the search but not in the list."""
    names = tuple(a.name for a in schema)
    message = unknown("attribute", word, names)
    if "did you mean" in message:
        return message
    by_alias = {alias: a.name for a in schema for alias in a.aliases}
    hint = unknown("attribute", word, tuple(by_alias))
    for alias, name in by_alias.items():
        if f"did you mean {alias!r}" in hint:
            return message.replace(":", f": did you mean {alias!r} ({name})?", 1)
    return message


def _opposite(word: str, attribute: Attribute) -> str:
    start = f"{word!r} is the opposite of attribute {attribute.name!r} of this data set; "
    if attribute.labels == ("0", "1"):
        return start + f"write {attribute.name}=0 for {word}=1 and {attribute.name}=1 for {word}=0"
    return start + f"write a condition on {attribute.name} instead (labels {', '.join(attribute.labels)})"
