"""The real files, where they are: `$TNPRIOR_DATA_ROOT`, else `../shared/data` beside the repository."""

import os
from pathlib import Path

import pytest

from tnprior_data import Dataset, load, summary

ROOT = Path(os.environ.get("TNPRIOR_DATA_ROOT") or Path(__file__).resolve().parents[4] / "shared" / "data")
FACES = ROOT / "celeba10k.zip"


def there(*paths: str) -> pytest.MarkDecorator:
    absent = [str(ROOT / path) for path in paths if not (ROOT / path).exists()]
    return pytest.mark.skipif(bool(absent), reason=f"not there: {', '.join(absent)}; set TNPRIOR_DATA_ROOT")


@there("MNIST/raw/train-images-idx3-ubyte.gz")
def test_mnist_has_its_published_counts() -> None:
    """Checksums hold, and the digits are as frequent as published."""
    train = summary(load("mnist", root=ROOT)).attributes[0].counts
    assert list(train.values()) == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test = summary(load("mnist", root=ROOT / "MNIST" / "raw", split="test"))
    assert list(test.attributes[0].counts.values()) == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert load("mnist", root=ROOT).x.double().mean().item() / 255 == pytest.approx(0.1307, abs=5e-5)


@there("MNIST/raw/train-images-idx3-ubyte.gz")
def test_mnist_is_not_mistaken_for_fashion_mnist() -> None:
    with pytest.raises(ValueError, match="expected md5 8d4fb7e6c68d591d4c3dfef9ec88bf0d, got f68b3c2d"):
        load("fashion-mnist", root=ROOT / "MNIST" / "raw")


@pytest.fixture(scope="module")
def celebrities(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    cache = tmp_path_factory.mktemp("cache")
    words = ["Male", "Young", "hat", "glasses", "smiling", "No_Beard", "blond"]
    return load(FACES, split="test", size=64, crop=80, attributes=words, missing=0.3, cache=cache)


@there("celeba10k.zip")
def test_celeba_from_a_zip(celebrities: Dataset) -> None:
    assert celebrities.x.shape == (1500, 3, 64, 64)
    assert [a.name for a in celebrities.schema[2:5]] == ["Wearing_Hat", "Eyeglasses", "Smiling"]
    assert all(a.labels == ("0", "1") for a in celebrities.schema)
    assert 0.28 < 1 - celebrities.observed.double().mean().item() < 0.32
    assert celebrities.truth.observed.all()
    assert celebrities.names[0] == "images/008501.jpg"


@there("celeba10k.zip")
def test_beards_of_celebrities_are_mens(celebrities: Dataset) -> None:
    pairs = {(d.first, d.second): d.nats for d in summary(celebrities).dependences}
    assert pairs["Male", "No_Beard"] > 0.05 > pairs["Young", "Wearing_Hat"]


@pytest.mark.slow
@there("cifar10_jpg.tar.xz")
def test_cifar_copies_have_a_thousand_of_each_class(tmp_path: Path) -> None:
    ds = load("cifar10", root=ROOT, split="test", cache=tmp_path)
    assert set(summary(ds).attributes[0].counts.values()) == {1000}


@there("omniglot/omniglot32_background.npz")
def test_omniglot_is_white_on_black() -> None:
    ds = load("omniglot", root=ROOT)
    assert ds.x.shape == (15_993, 1, 32, 32)
    assert 0.05 < summary(ds).mean < 0.12
