"""The published data sets: contents against what was written, and damaged or absent files."""

import gzip
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision

from tnprior_data import DamagedFileError, DataError, MissingFilesError, card, celeba, cifar10, load, omniglot
from tnprior_data.idx import read_idx

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


# Checksums


def test_checksums_are_those_of_torchvision() -> None:
    sets = torchvision.datasets
    for name, theirs in (("mnist", sets.MNIST), ("fashion-mnist", sets.FashionMNIST)):
        assert card(name).md5 == dict(theirs.resources)
    published = dict(sets.CIFAR10.train_list + sets.CIFAR10.test_list)
    published[sets.CIFAR10.filename] = sets.CIFAR10.tgz_md5
    assert published.items() <= card("cifar10").md5.items()
    listed = {name: (drive, md5) for drive, md5, name in sets.CelebA.file_list}
    assert {
        name: (celeba.DRIVE[name], md5) for name, md5 in card("celeba").md5.items()
    }.items() <= listed.items()
    assert card("omniglot").md5 == {f"{name}.zip": md5 for name, md5 in sets.Omniglot.zips_md5.items()}


@pytest.mark.parametrize("name", ["mnist", "cifar10", "celeba", "omniglot"])
def test_files_that_are_not_the_published_ones_are_refused_unless_told(
    name: str, tmp_path: Path, write: SimpleNamespace
) -> None:
    root = tmp_path / "root"
    writers = {
        "mnist": lambda: write.mnist(root / "MNIST" / "raw", packed=True),
        "cifar10": lambda: write.cifar(root, "bin.tar"),
        "celeba": lambda: write.celeba(root, zipped=True),
        "omniglot": lambda: write.omniglot(root, zipped=True),
    }
    writers[name]()
    with pytest.raises(DamagedFileError, match=r"expected md5 [0-9a-f]{32}, got .*verify=False"):
        load(name, root=root)
    assert len(load(name, root=root, verify=False)) == write.train


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "celeba", "omniglot"])
def test_absent_files_are_listed_with_where_and_how(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingFilesError) as caught:
        load(name, root=tmp_path / "here")
    message = str(caught.value)
    assert f"{name}: looked for" in message
    assert str(tmp_path / "here") in message
    assert f"tnp data download {name}" in message
    assert "--root" in message
    assert not (tmp_path / "here").exists()


# IDX


@pytest.mark.parametrize("pack", [gzip.compress, bytes])
def test_idx_round_trip(tmp_path: Path, pack: object) -> None:
    (tmp_path / "f").write_bytes(pack(idx(IMAGES)))  # type: ignore[operator]
    assert np.array_equal(read_idx(tmp_path / "f", 3), IMAGES)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "got an empty file"),
        (b"hello world!", "got 68656c6c"),
        (idx(IMAGES)[:-1], "the header promises 24 bytes of data; the file has 23"),
        (idx(IMAGES) + b"x", "the file has more"),
        (idx(IMAGES)[:10], "expected an IDX file of bytes in 3 dimensions"),
        (idx(IMAGES.reshape(6, 4)), "in 3 dimensions"),
        (gzip.compress(idx(IMAGES), mtime=0)[:-12], "truncated or damaged"),
        (gzip.compress(idx(IMAGES), mtime=0)[:-8] + b"\xff" * 8, "truncated or damaged"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 2**31, 2**31, 2**31), "the header claims"),
    ],
)
def test_bad_idx_files_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(DamagedFileError, match=message):
        read_idx(tmp_path / "f", 3)


def test_mnist_is_what_was_written(tmp_path: Path, write: SimpleNamespace) -> None:
    write.mnist(tmp_path / "raw", packed=True)
    ds = load("mnist", root=tmp_path, verify=False)
    expected = np.random.default_rng(write.train).integers(0, 256, (write.train, 28, 28), dtype=np.uint8)
    assert np.array_equal(ds.x[:, 0].numpy(), expected)
    assert ds.codes[:, 0].tolist() == [i % 10 for i in range(write.train)]


def test_more_labels_than_images_are_refused(tmp_path: Path, write: SimpleNamespace) -> None:
    write.mnist(tmp_path / "raw", packed=False)
    path = tmp_path / "raw" / "train-labels-idx1-ubyte"
    path.write_bytes(idx(np.zeros(3, dtype=np.uint8)))
    with pytest.raises(DamagedFileError, match=f"{write.train} images but 3 labels"):
        load("mnist", root=tmp_path)
    path.write_bytes(idx(np.full(write.train, 10, dtype=np.uint8)))
    with pytest.raises(DamagedFileError, match=r"labels of 'digit' must lie in 0\.\.9; got 10\.\.10"):
        load("mnist", root=tmp_path)


# CIFAR-10


@pytest.mark.parametrize("layout", ["bin", "bin.tar", "py", "py.tar"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_cifar_is_what_was_written(tmp_path: Path, write: SimpleNamespace, layout: str, split: str) -> None:
    """The pickled fixture holds a call of os.system: were it performed, the test would not get here."""
    write.cifar(tmp_path / "root", layout)
    ds = load("cifar10", root=tmp_path / "root", split=split, verify=False)
    rows = write.cifar_rows(split).values()
    assert ds.codes[:, 0].tolist() == [int(label) for labels, _ in rows for label in labels]
    assert np.array_equal(ds.x.flatten(1).numpy(), np.concatenate([pixels for _, pixels in rows]))


@pytest.mark.parametrize(
    "data", [b"", b"x" * 100, b"\x80\x02}q\x01(U\x06labels]K\x0be.", b"\x80\x02U\x40abc"]
)
def test_damaged_batches_are_refused(tmp_path: Path, write: SimpleNamespace, data: bytes) -> None:
    for layout, name in (("bin", "data_batch_3.bin"), ("py", "data_batch_3")):
        write.cifar(tmp_path / layout, layout)
        (path,) = (tmp_path / layout).rglob(name)
        path.write_bytes(data)
        with pytest.raises(DamagedFileError, match="data_batch_3"):
            load("cifar10", root=tmp_path / layout, verify=False)


def test_an_absent_batch_and_a_broken_archive(tmp_path: Path, write: SimpleNamespace) -> None:
    write.cifar(tmp_path / "a", "bin")
    (tmp_path / "a" / "cifar-10-batches-bin" / "test_batch.bin").unlink()
    with pytest.raises(MissingFilesError, match=r"test_batch\.bin is not there"):
        load("cifar10", root=tmp_path / "a", split="test")
    write.cifar(tmp_path / "b", "bin.tar")
    (path,) = (tmp_path / "b").iterdir()
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DamagedFileError, match="expected a tar archive"):
        load("cifar10", root=tmp_path / "b", verify=False)


def test_jpeg_copies_say_that_they_are(tmp_path: Path, write: SimpleNamespace) -> None:
    write.cifar_jpeg(tmp_path / "root")
    ds = load("cifar10", root=tmp_path / "root")
    assert "JPEG copies" in ds.notes[0]
    assert len(ds) == write.train
    assert ds.truth.column("class")[:3] == ["airplane", "airplane", "airplane"]


# CelebA


@pytest.mark.parametrize("zipped", [True, False])
def test_celeba_is_what_was_written(tmp_path: Path, write: SimpleNamespace, zipped: bool) -> None:
    write.celeba(tmp_path, zipped=zipped)
    codes = torch.from_numpy(write.celeba_codes(write.train + write.test + 4))
    parts = {
        "train": codes[: write.train],
        "valid": codes[write.train : -write.test],
        "test": codes[-write.test :],
    }
    for split, expected in parts.items():
        ds = load("celeba", root=tmp_path, split=split, verify=False)
        assert torch.equal(ds.codes, expected)
        assert ds.shape == (3, 64, 64)
    assert ds.names[0] == f"{write.train + 5:06}.jpg"


def test_the_papers_crop_is_in_proportion(tmp_path: Path, write: SimpleNamespace) -> None:
    """160 of 178 pixels are 80 of 89."""
    write.celeba(tmp_path, zipped=True)
    papers, by_hand, whole = (
        load("celeba", root=tmp_path, split="valid", verify=False, size=32, crop=crop).x
        for crop in (None, 80, 89)
    )
    assert torch.equal(papers, by_hand)
    assert not torch.equal(papers, whole)


def test_celeba_takes_everyday_words(tmp_path: Path, write: SimpleNamespace) -> None:
    write.celeba(tmp_path, zipped=True)
    ds = load("celeba", root=tmp_path, split="valid", verify=False, attributes=["glasses", "male", "hat"])
    assert [a.name for a in ds.schema] == ["Eyeglasses", "Male", "Wearing_Hat"]
    columns = [celeba.NAMES.index(a.name) for a in ds.schema]
    assert np.array_equal(ds.codes.numpy(), write.celeba_codes(60)[write.train : write.train + 4][:, columns])


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (celeba.ATTRIBUTES, "Bald ", "Bold ", "expected CelebA's 40 attribute names in line 2"),
        (celeba.ATTRIBUTES, "000003.jpg", "000003.jpg 1", "expected 41 words in every row; row 3 has 42"),
        (celeba.ATTRIBUTES, "000003.jpg -1", "000003.jpg  0", "expected -1 or 1"),
        (celeba.PARTITION, "000003.jpg 0\n", "", r"no part 0, 1 or 2 for 000003\.jpg"),
        (celeba.PARTITION, "000003.jpg 0\n", "000003.jpg 7\n", r"no part 0, 1 or 2 for 000003\.jpg"),
    ],
)
def test_damaged_lists_are_refused(
    tmp_path: Path, write: SimpleNamespace, file: str, old: str, new: str, message: str
) -> None:
    write.celeba(tmp_path, zipped=True)
    path = tmp_path / "celeba" / file
    text = path.read_text().replace("000003.jpg  1", "000003.jpg -1")
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(DamagedFileError, match=message):
        load("celeba", root=tmp_path, verify=False)


def test_absent_faces_are_named(tmp_path: Path, write: SimpleNamespace) -> None:
    write.celeba(tmp_path, zipped=False)
    (tmp_path / "celeba" / "img_align_celeba" / "000002.jpg").unlink()
    with pytest.raises(MissingFilesError, match=r"1 images are not there: 000002\.jpg"):
        load("celeba", root=tmp_path, verify=False)


# Omniglot


def test_omniglot_strokes_are_white_on_black(tmp_path: Path, write: SimpleNamespace) -> None:
    write.omniglot(tmp_path, zipped=True)
    ds = load("omniglot", root=tmp_path, verify=False)
    assert ds.x[:, 0, 0, 0].eq(0).all()
    assert ds.x[:, 0, 15, 12].eq(255).all()
    for name, alphabet, drawer in zip(
        ds.names, ds.truth.column("alphabet"), ds.truth.column("drawer"), strict=True
    ):
        assert name.split("/")[0] == alphabet
        assert int(name[-6:-4]) == int(str(drawer))


def test_the_small_omniglot_has_no_alphabets_and_no_test_part(tmp_path: Path, write: SimpleNamespace) -> None:
    write.omniglot_small(tmp_path / "root")
    ds = load("omniglot", root=tmp_path / "root")
    assert ds.observed.float().mean(0).tolist() == [0.0, 1.0]
    assert ds.truth.column("drawer")[:3] == ["1", "2", "3"]
    assert "'alphabet' is missing everywhere" in ds.notes[0]
    with pytest.raises(MissingFilesError, match=r"looked for images_evaluation\.zip"):
        load("omniglot", root=tmp_path / "root", split="test")


def test_strange_drawings_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "images_background" / "Klingon" / "character01"
    folder.mkdir(parents=True)
    (folder / "0001_01.png").write_bytes(b"")
    with pytest.raises(
        DamagedFileError, match=r"Klingon/character01/0001_01\.png does not name one of the 50 alphabets"
    ):
        load("omniglot", root=tmp_path)
    (tmp_path / omniglot.SMALL).write_bytes(b"PK")
    (folder / "0001_01.png").unlink()
    with pytest.raises(DataError, match="no drawings such as"):
        load("omniglot", root=tmp_path)


def test_a_pickled_array_is_refused(tmp_path: Path) -> None:
    np.savez(
        tmp_path / omniglot.SMALL, images=np.array([{}], dtype=object), drawer=np.zeros(1, dtype=np.int8)
    )
    with pytest.raises(DamagedFileError, match="expected an npz with the array 'images'"):
        load("omniglot", root=tmp_path)
    np.savez(
        tmp_path / omniglot.SMALL, images=np.zeros((2, 32, 32), dtype=np.uint8), drawer=np.array([1, 21])
    )
    with pytest.raises(DamagedFileError, match=r"expected drawers 1\.\.20"):
        load("omniglot", root=tmp_path)


def test_the_alphabets_are_fifty() -> None:
    assert (len(omniglot.BACKGROUND), len(omniglot.EVALUATION), len(set(omniglot.ALPHABETS))) == (30, 20, 50)
    assert len(cifar10.CLASSES) == 10
