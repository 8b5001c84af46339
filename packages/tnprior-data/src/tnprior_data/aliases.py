"""The words people use for the attributes of CelebA, and of data sets that borrow its columns."""

from collections.abc import Iterable
from dataclasses import replace

from .schema import Attribute, Schema, fold

SAME: dict[str, tuple[str, ...]] = {
    "5_o_Clock_Shadow": ("stubble", "five_o_clock_shadow"),
    "Attractive": ("pretty",),
    "Bags_Under_Eyes": ("eye_bags",),
    "Bald": ("bald_head",),
    "Bangs": ("fringe",),
    "Black_Hair": ("black",),
    "Blond_Hair": ("blond", "blonde", "blonde_hair"),
    "Brown_Hair": ("brown", "brunette"),
    "Eyeglasses": ("glasses", "spectacles"),
    "Gray_Hair": ("gray", "grey", "grey_hair"),
    "Heavy_Makeup": ("makeup",),
    "Male": ("man", "is_male"),
    "Mouth_Slightly_Open": ("mouth_open", "open_mouth"),
    "Mustache": ("moustache",),
    "Narrow_Eyes": ("squinting",),
    "Pale_Skin": ("pale",),
    "Smiling": ("smile",),
    "Wavy_Hair": ("wavy", "curly"),
    "Straight_Hair": ("straight",),
    "Wearing_Earrings": ("earrings", "earring"),
    "Wearing_Hat": ("hat",),
    "Wearing_Lipstick": ("lipstick",),
    "Wearing_Necklace": ("necklace",),
    "Wearing_Necktie": ("necktie", "tie"),
    "Young": ("is_young",),
}
OPPOSITE: dict[str, tuple[str, ...]] = {
    "Male": ("female", "woman"),
    "No_Beard": ("beard", "bearded"),
    "Young": ("old", "elderly"),
}


def with_known_aliases(schema: Iterable[Attribute]) -> Schema:
    """Give the attributes that carry CelebA's names the usual aliases.

    A word that is already the name or an alias of another attribute is left out, so that a table with
    the two columns `hat` and `Wearing_Hat` keeps both meanings.

    >>> with_known_aliases([Attribute("Wearing_Hat", ("0", "1"))])[0].aliases
    ('hat',)
    """
    schema = tuple(schema)
    taken = {fold(word) for a in schema for word in (a.name, *a.aliases)}
    return tuple(
        replace(
            attribute,
            aliases=attribute.aliases + _free(SAME.get(attribute.name, ()), taken),
            opposites=attribute.opposites + _free(OPPOSITE.get(attribute.name, ()), taken),
        )
        for attribute in schema
    )


def _free(words: tuple[str, ...], taken: set[str]) -> tuple[str, ...]:
    return tuple(word for word in words if fold(word) not in taken)
