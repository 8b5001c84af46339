"""Every data set by name, and the one function that loads them."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import celeba, cifar10, digits, mnist, omniglot
from .card import Card
from .dataset import Dataset, Records, assemble, check_split
from .errors import UnknownNameError, unknown
from .faces import dataset as faces
from .folder import read_folder
from .images import Fit
from .request import Request, default_root


@dataclass(frozen=True)
class Entry:
    """A data set: its card, and the function that reads one part of it."""

    card: Card
    read: Callable[[Request], Records]


ENTRIES: Mapping[str, Entry] = {
    entry.card.name: entry
    for entry in (
        Entry(digits.CARD, digits.read),
        Entry(faces.CARD, faces.read),
        Entry(mnist.MNIST, mnist.read_mnist),
        Entry(mnist.FASHION, mnist.read_fashion),
        Entry(cifar10.CARD, cifar10.read),
        Entry(celeba.CARD, celeba.read),
        Entry(omniglot.CARD, omniglot.read),
    )
}


def names() -> tuple[str, ...]:
    """The names that `load` takes, besides paths.

    >>> names()
    ('digits', 'faces', 'mnist', 'fashion-mnist', 'cifar10', 'celeba', 'omniglot')
    """
    return tuple(ENTRIES)


def card(name: str) -> Card:
    """The card of a data set.

    Raises:
        UnknownNameError: no such data set, with the closest match.

    >>> card("digits").shape
    (1, 8, 8)
    """
    return _entry(name).card


def load(
    name: str | Path,
    *,
    root: str | Path | None = None,
    split: str = "train",
    attributes: Iterable[str] | None = None,
    missing: float = 0.0,
    seed: int = 0,
    size: int | None = None,
    crop: int | None = None,
    channels: int | None = None,
    download: bool = False,
    verify: bool = True,
    cache: str | Path | None = None,
) -> Dataset:
    """Load one part of a data set into memory.

    Args:
        name: one of `names()`, or the path of a folder or zip with `metadata.csv` (see `open_folder`).
        root: folder with the files; None for `default_root()`. Read-only folders will do.
        split: "train", "test", or another split of the card. Splits are fixed, whatever the seed.
        attributes: which attributes, by name or alias, in this order; None for all.
        missing, seed: fraction of the labels to hide, and the seed that chooses them: a cell's fate depends
            on the seed, the data set, the split, the row and the attribute alone. `Dataset.truth` keeps all.
        size, crop, channels: bring the images to one shape, see `Fit`; None for the data set's default.
        download: fetch files that are not there.
        verify: compare files on disk with their published checksums.
        cache: folder for decoded images; None for `cache_folder()`.

    Raises:
        UnknownNameError: no such data set, split or attribute.
        MissingFilesError: files are not there; the message says where they were looked for.
        DataError: anything else that is wrong with the data.

    >>> ds = load("digits", missing=0.3)
    >>> ds.x.shape, ds.x.dtype
    (torch.Size([1438, 1, 8, 8]), torch.uint8)
    """
    wanted = None if attributes is None else tuple(attributes)
    folder = None if cache is None else Path(cache).expanduser()
    if str(name) not in ENTRIES and _is_path(name):
        records, facts = read_folder(Path(name), split, wanted, None, Fit(size, crop, channels), folder)
    else:
        entry = _entry(str(name))
        facts = entry.card
        check_split(split, facts.splits, facts.name)
        where = default_root() if root is None else Path(root).expanduser()
        fit = Fit(facts.size if size is None else size, crop, channels)
        records = entry.read(Request(split, where, fit, download, verify, folder))
    return assemble(records, facts, split, wanted, missing, seed)


def _entry(name: str) -> Entry:
    if name not in ENTRIES:
        raise UnknownNameError(
            unknown("data set", name, names()) + ", or the path of a folder or zip of images"
        )
    return ENTRIES[name]


def _is_path(name: str | Path) -> bool:
    text = str(name)
    return (
        isinstance(name, Path) or os.sep in text or text.endswith(".zip") or Path(text).expanduser().exists()
    )
