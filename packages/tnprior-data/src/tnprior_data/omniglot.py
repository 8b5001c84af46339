"""`omniglot`: 32,460 drawings of 1,623 characters of 50 alphabets, each by 20 people."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from .card import Card
from .dataset import Records
from .download import fetch
from .errors import DamagedFileError, MissingFilesError
from .folder import read_images
from .images import fit_arrays
from .request import Request, check_md5, find, not_found
from .schema import Attribute
from .source import open_source
from .table import AttributeTable

BACKGROUND = (
    *("Alphabet_of_the_Magi", "Anglo-Saxon_Futhorc", "Arcadian", "Armenian", "Asomtavruli_(Georgian)"),
    *("Balinese", "Bengali", "Blackfoot_(Canadian_Aboriginal_Syllabics)", "Braille", "Burmese_(Myanmar)"),
    *("Cyrillic", "Early_Aramaic", "Futurama", "Grantha", "Greek", "Gujarati", "Hebrew"),
    *("Inuktitut_(Canadian_Aboriginal_Syllabics)", "Japanese_(hiragana)", "Japanese_(katakana)", "Korean"),
    *("Latin", "Malay_(Jawi_-_Arabic)", "Mkhedruli_(Georgian)", "N_Ko"),
    *("Ojibwe_(Canadian_Aboriginal_Syllabics)", "Sanskrit", "Syriac_(Estrangelo)", "Tagalog", "Tifinagh"),
)
EVALUATION = (
    *(
        "Angelic",
        "Atemayar_Qelisayer",
        "Atlantean",
        "Aurek-Besh",
        "Avesta",
        "Ge_ez",
        "Glagolitic",
        "Gurmukhi",
    ),
    *("Kannada", "Keble", "Malayalam", "Manipuri", "Mongolian", "Old_Church_Slavonic_(Cyrillic)", "Oriya"),
    *("Sylheti", "Syriac_(Serto)", "Tengwar", "Tibetan", "ULOG"),
)
ALPHABETS = tuple(sorted(BACKGROUND + EVALUATION))
DRAWERS = tuple(map(str, range(1, 21)))
ARCHIVES = {"train": "images_background.zip", "test": "images_evaluation.zip"}
SMALL = "omniglot32_background.npz"
URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"
CARD = Card(
    name="omniglot",
    description="drawings of the characters of 50 alphabets, white on black, resized to 32x32; train and test "
    "have different alphabets",
    licence="MIT (B. Lake)",
    citation="B. M. Lake, R. Salakhutdinov and J. B. Tenenbaum (2015). Human-level concept learning through "
    "probabilistic program induction. Science 350(6266), 1332-1338.",
    homepage="https://github.com/brendenlake/omniglot",
    schema=(Attribute("alphabet", ALPHABETS), Attribute("drawer", DRAWERS)),
    shape=(1, 32, 32),
    files=tuple(ARCHIVES.values()),
    md5={
        "images_background.zip": "68d2efa1b9178cc56df9314c21c6e718",
        "images_evaluation.zip": "6b91aef0f799c5bb55b94e3f2daec811",
    },
    size=32,
)


def read(request: Request) -> Records:
    """Omniglot from torchvision's layout (`omniglot-py/`) or its archives: background is train, evaluation test.

    For train also `omniglot32_background.npz` (`images`, `drawer`), where the alphabets are not recorded and
    therefore all missing.
    """
    folders = _folders(request.root)
    archive = ARCHIVES[request.split]
    layouts = (archive, archive.removesuffix(".zip"))
    path = find(folders, layouts)
    small = find(folders, (SMALL,)) if request.split == "train" else None
    if path is not None:
        return _read_drawings(request, path)
    if small is not None:
        return _read_small(request, small)
    raise not_found(CARD.name, (*layouts, SMALL) if request.split == "train" else layouts, folders)


def download(root: Path) -> None:
    """Fetch the archives that are not there."""
    folders = _folders(root)
    for archive in ARCHIVES.values():
        if find(folders, (archive, archive.removesuffix(".zip"))) is None:
            fetch((URL + archive,), folders[0] / archive, CARD.md5[archive])


def _folders(root: Path) -> tuple[Path, ...]:
    return root / "omniglot-py", root / "omniglot", root


def _read_drawings(request: Request, path: Path) -> Records:
    if path.is_file() and request.verify:
        check_md5(path, CARD.md5[path.name])
    source = open_source(path)
    names = tuple(name for name in source.files() if name.endswith(".png"))
    if not names:
        raise MissingFilesError(f"{path}: no drawings such as Greek/character01/0394_01.png")
    codes = torch.tensor([_codes(name, path) for name in names], dtype=torch.int64)
    images = 255 - read_images(source, names, request.fit, request.cache)
    table = AttributeTable(names, CARD.schema, codes, torch.ones_like(codes, dtype=torch.bool))
    return Records(torch.from_numpy(images), table)


def _codes(name: str, path: Path) -> tuple[int, int]:
    """Alphabet and drawer of `Greek/character01/0394_07.png`."""
    alphabet, _, file = (*name.split("/"), "", "")[:3]
    drawer = file.removesuffix(".png").rpartition("_")[2].lstrip("0")
    if alphabet not in ALPHABETS or drawer not in DRAWERS:
        raise DamagedFileError(
            f"{path}: {name} does not name one of the 50 alphabets and one of the 20 drawers"
        )
    return ALPHABETS.index(alphabet), DRAWERS.index(drawer)


def _read_small(request: Request, path: Path) -> Records:
    images, drawer = _member(path, "images"), _member(path, "drawer")
    if images.ndim != 3 or images.dtype != np.uint8 or drawer.shape != (len(images),):
        raise DamagedFileError(
            f"{path}: expected images (n, 32, 32) of bytes and drawer (n,); got {images.shape}"
        )
    if drawer.dtype.kind not in "iu" or not np.isin(drawer, range(1, len(DRAWERS) + 1)).all():
        raise DamagedFileError(f"{path}: expected drawers 1..{len(DRAWERS)}")
    codes = torch.stack(
        (torch.zeros(len(images), dtype=torch.int64), torch.from_numpy(drawer.astype(np.int64) - 1)), dim=1
    )
    known = torch.tensor([False, True]).expand(len(images), 2)
    note = (
        f"{path}: does not say which alphabet a drawing is from; attribute 'alphabet' is missing everywhere"
    )
    table = AttributeTable(tuple(map(str, range(len(images)))), CARD.schema, codes, known, (note,))
    return Records(
        torch.from_numpy(fit_arrays(images[:, None].astype(np.uint8), request.fit, str(path))), table
    )


def _member(path: Path, name: str) -> npt.NDArray[np.generic]:
    """One array of an npz, read as numbers only (an array of objects would have to be unpickled)."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, OSError, zlib.error) as error:
        raise DamagedFileError(f"{path}: expected an npz with the array {name!r}: {error}") from None
