"""Every data set by name, and the one function that loads them."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
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
    """A data set: its card, the function that reads one part of it, and the one that fetches its files."""

    card: Card
    read: Callable[[Request], Records]
    download: Callable[[Path], None] | None = None


ENTRIES: Mapping[str, Entry] = {
    entry.card.name: entry
    for entry in (
        Entry(digits.CARD, digits.read),
        Entry(faces.CARD, faces.read),
        Entry(mnist.MNIST, mnist.read_mnist, mnist.download_mnist),
        Entry(mnist.FASHION, mnist.read_fashion, mnist.download_fashion),
        Entry(cifar10.CARD, cifar10.read, cifar10.download),
        Entry(celeba.CARD, celeba.read, celeba.download),
        Entry(omniglot.CARD, omniglot.read, omniglot.download),
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
        size, crop, channels: as in `open_folder`; None for what is usual for the data set.
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
    fit = Fit(size, crop, channels)
    if str(name) not in ENTRIES and _is_path(name):
        records, facts = read_folder(Path(name), split, wanted, None, fit, folder)
    else:
        facts = card(str(name))
        check_split(split, facts.splits, facts.name)
        where = fetch(facts.name, root) if download else _root(root)
        fit = fit if size is not None else replace(fit, size=facts.size)
        records = ENTRIES[facts.name].read(Request(split, where, fit, verify, folder))
    return assemble(records, facts, split, wanted, missing, seed)


def fetch(name: str, root: str | Path | None = None) -> Path:
    """Download the files of a data set that are not there yet, and check them; nothing for embedded ones.

    Returns:
        The folder to pass to `load` as `root`.

    Raises:
        UnknownNameError: no such data set.
        DataError: the download failed, or a checksum differs.

    >>> _ = fetch("digits")  # comes with scikit-learn: nothing to do
    """
    entry, where = _entry(name), _root(root)
    if entry.download is not None:
        entry.download(where)
    return where


def _root(root: str | Path | None) -> Path:
    return default_root() if root is None else Path(root).expanduser()


def _entry(name: str) -> Entry:
    if name not in ENTRIES:
        raise UnknownNameError(
            unknown("data set", name, names()) + ", or the path of a folder or zip of images"
        )
    return ENTRIES[name]


def _is_path(name: str | Path) -> bool:
    text = str(name)
    looks_like_one = os.sep in text or text.lower().endswith((".zip", ".csv"))
    return isinstance(name, Path) or looks_like_one or Path(text).expanduser().exists()
