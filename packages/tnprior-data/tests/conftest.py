"""Tiny copies of every data set in its published layouts, written by the tests themselves."""

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import tnprior_data
import tnprior_data.faces.dataset
from tnprior_data import celeba, cifar10, omniglot

TRAIN, TEST = 40, 16


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the user's folders."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("TNPRIOR_CACHE", str(folder))
    monkeypatch.setenv("TNPRIOR_DATA_ROOT", str(folder / "nothing"))
    return folder


@pytest.fixture
def few_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw 300 + 100 faces instead of 12,000."""
    monkeypatch.setattr(tnprior_data.faces.dataset, "SIZES", {"train": 300, "test": 100})


def picture(seed: int, width: int = 20, height: int = 24, *, mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(seed)
    shape = (height, width) if mode == "L" else (height, width, len(mode))
    return Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8), mode=None)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_mnist(folder: Path, *, packed: bool) -> None:
    folder.mkdir(parents=True)
    for prefix, count in (("train", TRAIN), ("t10k", TEST)):
        rng = np.random.default_rng(count)
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", np.arange(count) % 10)):
            data = idx(array)
            path = folder / f"{prefix}-{name}-ubyte"
            if packed:
                Path(f"{path}.gz").write_bytes(gzip.compress(data))
            else:
                path.write_bytes(data)


def cifar_rows(split: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    count = {"train": TRAIN // 5, "test": TEST}[split]
    rows = {}
    for k, batch in enumerate(cifar10.BATCHES[split]):
        rng = np.random.default_rng(100 * k + count)
        rows[batch] = (rng.integers(0, 10, count), rng.integers(0, 256, (count, 3072), dtype=np.uint8))
    return rows


def cifar_binary(labels: np.ndarray, pixels: np.ndarray) -> bytes:
    return np.concatenate((labels[:, None].astype(np.uint8), pixels), axis=1).tobytes()


def cifar_pickle(labels: np.ndarray, pixels: np.ndarray) -> bytes:
    """The operations of a batch as Python 2 wrote it, with a call that must never be performed."""
    numbers = b"".join(b"K" + bytes((int(label),)) for label in labels)
    return (
        b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03"
        b"U\x06labelsq\x04]q\x05(" + numbers + b"e"
        b"U\x04dataq\x06cposix\nsystem\nq\x07U\x08exit 123\x85R"
        b"T" + struct.pack("<I", pixels.size) + pixels.tobytes() + b"q\x08u."
    )


def write_cifar(root: Path, layout: str) -> None:
    """`layout` is one of bin, bin.tar, py, py.tar."""
    binary = layout.startswith("bin")
    files = {
        f"{batch}.bin" if binary else batch: (cifar_binary if binary else cifar_pickle)(labels, pixels)
        for split in ("train", "test")
        for batch, (labels, pixels) in cifar_rows(split).items()
    }
    name = "cifar-10-batches-bin" if binary else "cifar-10-batches-py"
    root.mkdir(parents=True)
    if not layout.endswith(".tar"):
        (root / name).mkdir()
        for file, data in files.items():
            (root / name / file).write_bytes(data)
        return
    with tarfile.open(root / (cifar10.BINARY if binary else cifar10.PICKLED), "w:gz") as archive:
        for file, data in files.items():
            info = tarfile.TarInfo(f"{name}/{file}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def write_cifar_jpeg(root: Path) -> None:
    root.mkdir(parents=True)
    with tarfile.open(root / cifar10.JPEG, "w:xz") as archive:
        for split, count in (("train", TRAIN), ("test", TEST)):
            for i in range(count):
                data = encoded(picture(i, 32, 32), "JPEG")
                info = tarfile.TarInfo(f"{split}/{cifar10.CLASSES[i % 10]}/{i:04}.jpg")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))


def celeba_codes(count: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 2, (count, 40))


def write_celeba(root: Path, *, zipped: bool) -> None:
    folder = root / "celeba"
    folder.mkdir(parents=True)
    count = TRAIN + TEST + 4
    names = [f"{i + 1:06}.jpg" for i in range(count)]
    rows = [
        f"{name} {' '.join(f'{2 * c - 1:2}' for c in row)}"
        for name, row in zip(names, celeba_codes(count), strict=True)
    ]
    (folder / celeba.ATTRIBUTES).write_text("\n".join([str(count), " ".join(celeba.NAMES), *rows]) + "\n")
    parts = [0] * TRAIN + [1] * 4 + [2] * TEST
    (folder / celeba.PARTITION).write_text("".join(f"{n} {p}\n" for n, p in zip(names, parts, strict=True)))
    images = {
        f"img_align_celeba/{name}": encoded(picture(i, 89, 109), "JPEG") for i, name in enumerate(names)
    }
    write_files(folder, celeba.ARCHIVE if zipped else None, images)


def write_omniglot(root: Path, *, zipped: bool) -> None:
    for split, alphabets, count in (
        ("background", omniglot.BACKGROUND, TRAIN),
        ("evaluation", omniglot.EVALUATION, TEST),
    ):
        images = {}
        for i in range(count):
            strokes = Image.new("1", (105, 105), 1)
            strokes.paste(0, (20 + i % 5, 30, 60, 70))
            name = f"{alphabets[i % 4]}/character{i // 8 + 1:02}/{i:04}_{i % 20 + 1:02}.png"
            images[f"images_{split}/{name}"] = encoded(strokes)
        write_files(root / "omniglot-py", f"images_{split}.zip" if zipped else None, images)


def write_omniglot_small(root: Path) -> None:
    root.mkdir(parents=True)
    images = np.random.default_rng(3).integers(0, 256, (TRAIN, 32, 32), dtype=np.uint8)
    np.savez(root / omniglot.SMALL, images=images, drawer=(np.arange(TRAIN) % 20 + 1).astype(np.int8))


def metadata(count: int, *, split: bool) -> str:
    rng = np.random.default_rng(5)
    rows = ["file_name,hat,mood,size" + (",split" if split else "")]
    for i in range(count):
        hat, mood, size = rng.integers(0, 2), ("glad", "sad", "None")[rng.integers(0, 3)], rng.integers(8, 12)
        cells = [f"img/{i:03}.png", str(hat), "" if i % 7 == 3 else mood, str(size)]
        rows.append(",".join(cells + (["train" if i < TRAIN else "test"] if split else [])))
    return "\n".join(rows) + "\n"


def write_folder(root: Path, *, split: bool, archive: str | None, top: str = "") -> None:
    count = TRAIN + TEST
    files = {f"{top}img/{i:03}.png": encoded(picture(i)) for i in range(count)}
    files[f"{top}metadata.csv"] = metadata(count, split=split).encode()
    write_files(root, archive, files)


def write_files(root: Path, archive: str | None, files: dict[str, bytes]) -> None:
    """Below a folder, or into a zip in it."""
    root.mkdir(parents=True, exist_ok=True)
    if archive is not None:
        with zipfile.ZipFile(root / archive, "w") as bundle:
            for name, data in files.items():
                bundle.writestr(name, data)
        return
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


Builder = Callable[[Path], dict[str, object]]


def _named(name: str, write: Callable[[Path], None], **options: object) -> Builder:
    def build(root: Path) -> dict[str, object]:
        write(root)
        return {"name": name, "root": root, "verify": False, **options}

    return build


def _path(relative: str, write: Callable[[Path], None]) -> Builder:
    def build(root: Path) -> dict[str, object]:
        write(root)
        return {"name": root / relative}

    return build


CASES: dict[str, Builder] = {
    "digits": lambda root: {"name": "digits"},
    "faces": lambda root: {"name": "faces"},
    "mnist-torchvision": _named("mnist", lambda r: write_mnist(r / "MNIST" / "raw", packed=True)),
    "mnist-unpacked": _named("mnist", lambda r: write_mnist(r / "MNIST" / "raw", packed=False)),
    "mnist-files-alone": _named("mnist", lambda r: write_mnist(r / "here", packed=True)),
    "fashion-mnist": _named("fashion-mnist", lambda r: write_mnist(r / "FashionMNIST" / "raw", packed=True)),
    "cifar10-binary": _named("cifar10", lambda r: write_cifar(r, "bin")),
    "cifar10-binary-archive": _named("cifar10", lambda r: write_cifar(r, "bin.tar")),
    "cifar10-python": _named("cifar10", lambda r: write_cifar(r, "py")),
    "cifar10-python-archive": _named("cifar10", lambda r: write_cifar(r, "py.tar")),
    "cifar10-jpeg": _named("cifar10", write_cifar_jpeg),
    "celeba-zip": _named("celeba", lambda r: write_celeba(r, zipped=True)),
    "celeba-unpacked": _named("celeba", lambda r: write_celeba(r, zipped=False)),
    "omniglot-zip": _named("omniglot", lambda r: write_omniglot(r, zipped=True)),
    "omniglot-unpacked": _named("omniglot", lambda r: write_omniglot(r, zipped=False)),
    "folder": _path(".", lambda r: write_folder(r, split=True, archive=None)),
    "folder-without-split": _path(".", lambda r: write_folder(r, split=False, archive=None)),
    "zip": _path("mine.zip", lambda r: write_folder(r, split=True, archive="mine.zip")),
    "zip-with-top-folder": _path(
        "mine.zip", lambda r: write_folder(r, split=True, archive="mine.zip", top="mine/")
    ),
    "csv": _path("metadata.csv", lambda r: write_folder(r, split=True, archive=None)),
}


@pytest.fixture(scope="session", params=list(CASES))
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Arguments of `load` for every data set in every layout; one line above adds one."""
    root = tmp_path_factory.mktemp("data") / "root"
    arguments = CASES[request.param](root)
    if request.param == "mnist-files-alone":
        arguments["root"] = root / "here"
    return arguments


@pytest.fixture
def write() -> SimpleNamespace:
    """The writers above, for tests that want one layout and its contents."""
    return SimpleNamespace(
        mnist=write_mnist,
        cifar=write_cifar,
        cifar_rows=cifar_rows,
        cifar_jpeg=write_cifar_jpeg,
        celeba=write_celeba,
        celeba_codes=celeba_codes,
        omniglot=write_omniglot,
        omniglot_small=write_omniglot_small,
        idx=idx,
        train=TRAIN,
        test=TEST,
    )
