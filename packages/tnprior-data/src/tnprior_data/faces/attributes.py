"""The attributes of the drawn faces and their joint distribution."""

from functools import cache

from tnprior_data.schema import Attribute

from .network import BinaryNetwork, Node


def _node(
    name: str,
    probabilities: tuple[float, ...],
    parents: tuple[str, ...] = (),
    *aliases: str,
    opposites: tuple[str, ...] = (),
) -> Node:
    return Node(Attribute(name, ("0", "1"), aliases, opposites), parents, probabilities)


NODES = (
    _node("male", (0.5,), (), "man", opposites=("female", "woman")),
    _node("young", (0.65, 0.5), ("male",), opposites=("old", "elderly")),
    _node("dark_skin", (0.35,), (), "dark", opposites=("light_skin", "pale_skin")),
    _node("blond", (0.5, 0.36, 0.12, 0.06), ("dark_skin", "male"), "blonde", "blond_hair"),
    _node("smiling", (0.55, 0.75, 0.3, 0.5), ("male", "young"), "smile"),
    _node("hat", (0.2, 0.3, 0.5, 0.3), ("male", "young"), "wearing_hat"),
    _node("glasses", (0.62, 0.18), ("young",), "eyeglasses", "spectacles"),
    _node("beard", (0.03, 0.02, 0.7, 0.35), ("male", "young"), "bearded", opposites=("no_beard",)),
    _node("bangs", (0.35, 0.65, 0.08, 0.25), ("male", "young"), "fringe"),
    _node("earrings", (0.7, 0.5, 0.12, 0.04), ("male", "hat"), "wearing_earrings"),
    _node("bowtie", (0.06, 0.15, 0.35, 0.65), ("male", "glasses"), "tie", "bow_tie"),
)


@cache
def faces_distribution() -> BinaryNetwork:
    """The distribution that the attributes of `faces` are drawn from; every conditional is exact.

    >>> truth = faces_distribution()
    >>> round(truth.conditional({"male": "1", "young": "0"}).marginals["beard"][1].item(), 12)
    0.7
    """
    return BinaryNetwork(NODES)
