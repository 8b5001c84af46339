"""`cifar10`: 60,000 colour images of 32x32 pixels in ten classes.

The binary version is preferred. torchvision's version consists of pickles, which can run code; they are
never unpickled: `pickletools` lists their operations without performing them, and the pixels and labels are
picked from that list.
"""

import pickletools
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .card import Card
from .coded import categorical, coded_records
from .dataset import Records
from .download import fetch
from .errors import DamagedFileError
from .folder import read_images
from .images import Bytes, fit_arrays
from .request import Request, check_md5, find, not_found
from .source import Folder, Source, Tar

CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
BINARY = "cifar-10-binary.tar.gz"
PICKLED = "cifar-10-python.tar.gz"
JPEG = "cifar10_jpg.tar.xz"
URL = f"https://www.cs.toronto.edu/~kriz/{BINARY}"
CARD = Card(
    name="cifar10",
    description="60,000 photographs in ten classes, 32x32 colour",
    licence="none stated; widely used for research (A. Krizhevsky, V. Nair and G. Hinton)",
    citation="A. Krizhevsky (2009). Learning multiple layers of features from tiny images. Technical report, "
    "University of Toronto.",
    homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
    schema=categorical("class", CLASSES, "label", "object"),
    shape=(3, 32, 32),
    files=(BINARY, PICKLED),
    md5={
        BINARY: "c32a1d4ab5d03f1284b67883e8d87530",
        PICKLED: "c58f30108f718f92721af3b95e74349a",
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    },
)
BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}
LAYOUTS = ("cifar-10-batches-bin", BINARY, "cifar-10-batches-py", PICKLED, JPEG)
PIXELS = 3 * 32 * 32


def read(request: Request) -> Records:
    """CIFAR-10 from the first of: unpacked binary, binary archive, unpacked python, python archive, JPEGs.

    The JPEG archive (`train/airplane/0000.jpg`, ...) is lossy; the others hold the same pixels.
    """
    folders = _folders(request.root)
    path = find(folders, LAYOUTS)
    if path is None:
        raise not_found(CARD.name, LAYOUTS, folders)
    if path.name == JPEG:
        return _read_jpeg(request, path)
    images, labels = _read_batches(request, path)
    fitted = fit_arrays(images.reshape(-1, 3, 32, 32), request.fit, CARD.name)
    return coded_records(fitted, labels[:, None], CARD.schema, str(path))


def download(root: Path) -> None:
    """Fetch the binary archive, unless one of the layouts is there."""
    if find(_folders(root), LAYOUTS) is None:
        fetch((URL,), root / BINARY, CARD.md5[BINARY])


def _folders(root: Path) -> tuple[Path, ...]:
    return root, root / "cifar10", root / "cifar-10"


def _read_batches(request: Request, path: Path) -> tuple[Bytes, Bytes]:
    if path.is_file() and request.verify:
        check_md5(path, CARD.md5[path.name])
    source: Source = Folder(path) if path.is_dir() else Tar(path)
    inner = (
        "" if path.is_dir() else "cifar-10-batches-bin/" if path.name == BINARY else "cifar-10-batches-py/"
    )
    parts = []
    for batch in BATCHES[request.split]:
        if path.name in (BINARY, "cifar-10-batches-bin"):
            parts.append(_binary(source.read(f"{inner}{batch}.bin"), f"{path}: {batch}.bin"))
        else:
            if path.is_dir() and request.verify:
                source.read(batch)
                check_md5(path / batch, CARD.md5[batch])
            parts.append(_pickled(source.read(inner + batch), f"{path}: {batch}"))
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _binary(data: bytes, source: str) -> tuple[Bytes, Bytes]:
    """Rows of one label byte and 3,072 pixel bytes."""
    if not data or len(data) % (PIXELS + 1):
        raise DamagedFileError(f"{source}: expected rows of {PIXELS + 1} bytes; got {len(data)} bytes in all")
    rows = np.frombuffer(data, dtype=np.uint8).reshape(-1, PIXELS + 1)
    return rows[:, 1:], rows[:, 0]


def _pickled(data: bytes, source: str) -> tuple[Bytes, Bytes]:
    """The long byte string and the list after the word "labels", without performing any operation."""
    pixels, within = b"", False
    labels: list[int] = []
    try:
        for operation, argument, _ in pickletools.genops(data):
            if isinstance(argument, str | bytes):
                text = argument.encode("latin-1") if isinstance(argument, str) else argument
                within = text == b"labels"
                pixels = text if len(text) > len(pixels) else pixels
            elif within and isinstance(argument, int) and operation.name in ("BININT", "BININT1"):
                labels.append(argument)
            elif operation.name in ("APPENDS", "APPEND"):
                within = False
    except (ValueError, IndexError, UnicodeError) as error:
        raise DamagedFileError(f"{source}: expected a batch of CIFAR-10; {error}") from None
    if not labels or len(pixels) != PIXELS * len(labels) or not 0 <= min(labels) <= max(labels) < 10:
        raise DamagedFileError(
            f"{source}: expected labels 0..9 and {PIXELS} bytes for each; got {len(labels)} labels and "
            f"{len(pixels)} bytes"
        )
    return np.frombuffer(pixels, dtype=np.uint8).reshape(-1, PIXELS), np.array(labels, dtype=np.uint8)


def _read_jpeg(request: Request, path: Path) -> Records:
    archive = Tar(path)
    names = tuple(name for name in archive.files() if name.startswith(f"{request.split}/"))
    images = read_images(archive, names, request.fit, request.cache)
    labels = np.array(list(_class_codes(names, str(path))), dtype=np.uint8)
    note = f"{path}: JPEG copies of the images, not the published pixels"
    return coded_records(images, labels[:, None], CARD.schema, str(path), (note,))


def _class_codes(names: Iterable[str], source: str) -> Iterable[int]:
    for name in names:
        folder = name.split("/")[1]
        if folder not in CLASSES:
            raise DamagedFileError(
                f"{source}: {name} is not in a folder named after one of {', '.join(CLASSES)}"
            )
        yield CLASSES.index(folder)
