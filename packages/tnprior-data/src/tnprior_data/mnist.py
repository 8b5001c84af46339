"""`mnist` and `fashion-mnist`: 70,000 gray images of 28x28 pixels in IDX files."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from .card import Card
from .coded import categorical, coded_records
from .dataset import Records
from .download import fetch
from .errors import DamagedFileError
from .idx import read_idx
from .images import fit_arrays
from .request import Request, check_md5, find, not_found

PREFIX = {"train": "train", "test": "t10k"}
FILES = tuple(
    f"{p}-{kind}.gz" for p in PREFIX.values() for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
)
GARMENTS = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
MNIST = Card(
    name="mnist",
    description="70,000 handwritten digits, 28x28 gray",
    licence="CC BY-SA 3.0 (Y. LeCun and C. Cortes); derived from NIST Special Databases 1 and 3",
    citation="Y. LeCun, L. Bottou, Y. Bengio and P. Haffner (1998). Gradient-based learning applied to document "
    "recognition. Proceedings of the IEEE 86(11), 2278-2324.",
    homepage="http://yann.lecun.com/exdb/mnist/",
    schema=categorical("digit", "0123456789", "number", "label"),
    shape=(1, 28, 28),
    files=FILES,
    sha256={
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    md5={
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
)
FASHION = Card(
    name="fashion-mnist",
    description="70,000 pictures of garments in ten classes, 28x28 gray",
    licence="MIT (Zalando SE)",
    citation="H. Xiao, K. Rasul and R. Vollgraf (2017). Fashion-MNIST: a novel image dataset for benchmarking "
    "machine learning algorithms. arXiv:1708.07747.",
    homepage="https://github.com/zalandoresearch/fashion-mnist",
    schema=categorical("garment", GARMENTS, "class", "label", "item"),
    shape=(1, 28, 28),
    files=FILES,
    md5={
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
)
FOLDER = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}


def read_mnist(request: Request) -> Records:
    """MNIST from torchvision's layout (`MNIST/raw/`) or from the four files alone, packed or not."""
    return _read(request, MNIST)


def read_fashion(request: Request) -> Records:
    """Fashion-MNIST, likewise (`FashionMNIST/raw/`)."""
    return _read(request, FASHION)


def download_mnist(root: Path) -> None:
    """Fetch the files that are not there."""
    _download(root, MNIST)


def download_fashion(root: Path) -> None:
    """Fetch the files that are not there."""
    _download(root, FASHION)


def _read(request: Request, card: Card) -> Records:
    prefix = PREFIX[request.split]
    images = _array(request, card, f"{prefix}-images-idx3-ubyte", 3)
    labels = _array(request, card, f"{prefix}-labels-idx1-ubyte", 1)
    if images.shape[1:] != (28, 28):
        raise DamagedFileError(f"{card.name}: expected images of 28x28 pixels, got {images.shape[1:]}")
    fitted = fit_arrays(images[:, None], request.fit, card.name)
    return coded_records(fitted, labels[:, None], card.schema, card.name)


def _array(request: Request, card: Card, name: str, dimensions: int) -> npt.NDArray[np.uint8]:
    folders = _folders(request.root, card)
    path = find(folders, (f"{name}.gz", name))
    if path is None:
        raise not_found(card.name, (f"{name}.gz", name), folders)
    if request.verify:
        check_md5(path, card.md5.get(path.name))
    return read_idx(path, dimensions)


def _folders(root: Path, card: Card) -> tuple[Path, ...]:
    home = FOLDER[card.name]
    return (root / home / "raw", root / home, root / card.name / "raw", root / card.name, root / "raw", root)


def _download(root: Path, card: Card) -> None:
    import torchvision

    folders = _folders(root, card)
    mirrors = getattr(torchvision.datasets, FOLDER[card.name]).mirrors
    for file in card.files:
        if find(folders, (file, file.removesuffix(".gz"))) is None:
            fetch([mirror + file for mirror in mirrors], folders[0] / file, card.md5[file])
