"""Downloads, from a server of the test's own on this machine."""

import threading
from collections.abc import Iterator
from functools import partial
from hashlib import md5
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import torchvision

from tnprior_data import DataError, UnknownNameError, cifar10, default_root, fetch, load, mnist, omniglot
from tnprior_data.download import fetch as fetch_file


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "served"
    folder.mkdir()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{httpd.server_port}/"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def digest(path: Path) -> str:
    return md5(path.read_bytes()).hexdigest()


def test_a_file_appears_whole_and_checked(
    server: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, url = server
    (folder / "f").write_bytes(b"content")
    target = tmp_path / "root" / "deep" / "f"
    fetch_file([url + "absent", url + "f"], target, digest(folder / "f"))
    assert target.read_bytes() == b"content"
    assert [path.name for path in target.parent.iterdir()] == ["f"]
    assert capsys.readouterr().out == ""


def test_a_wrong_file_leaves_nothing(server: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = server
    (folder / "f").write_bytes(b"content")
    target = tmp_path / "root" / "f"
    with pytest.raises(DataError, match=rf"cannot download f: {url}f: .*put it at {target}"):
        fetch_file([url + "f"], target, "0" * 32)
    assert list(target.parent.iterdir()) == []


def test_what_is_there_is_not_fetched_again_but_checked(tmp_path: Path) -> None:
    target = tmp_path / "f"
    target.write_bytes(b"content")
    fetch_file(["http://127.0.0.1:9/never"], target, digest(target))
    with pytest.raises(DataError, match="expected md5 0000"):
        fetch_file(["http://127.0.0.1:9/never"], target, "0" * 32)


def test_mnist_is_fetched_only_when_asked(
    server: tuple[Path, str], tmp_path: Path, write: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, url = server
    write.mnist(folder / "raw", packed=True)
    for file in mnist.MNIST.files:
        monkeypatch.setitem(mnist.MNIST.md5, file, digest(folder / "raw" / file))
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [url + "raw/"])
    with pytest.raises(DataError, match="looked for"):
        load("mnist", root=tmp_path / "root")
    assert len(load("mnist", root=tmp_path / "root", download=True)) == write.train
    assert sorted(p.name for p in (tmp_path / "root" / "MNIST" / "raw").iterdir()) == sorted(
        mnist.MNIST.files
    )
    assert len(load("mnist", root=tmp_path / "root", split="test")) == write.test


def test_cifar_and_omniglot_are_fetched(
    server: tuple[Path, str], tmp_path: Path, write: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, url = server
    write.cifar(folder / "cifar", "bin.tar")
    write.omniglot(folder, zipped=True)
    monkeypatch.setattr(cifar10, "URL", f"{url}cifar/{cifar10.BINARY}")
    monkeypatch.setitem(cifar10.CARD.md5, cifar10.BINARY, digest(folder / "cifar" / cifar10.BINARY))
    monkeypatch.setattr(omniglot, "URL", f"{url}omniglot-py/")
    for file in omniglot.CARD.files:
        monkeypatch.setitem(omniglot.CARD.md5, file, digest(folder / "omniglot-py" / file))
    for name in ("cifar10", "omniglot"):
        assert fetch(name, tmp_path / "root") == tmp_path / "root"
        for split, count in (("train", write.train), ("test", write.test)):
            assert len(load(name, root=tmp_path / "root", split=split)) == count


def test_celeba_says_what_to_do_when_the_drive_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("too many users have viewed the file")

    monkeypatch.setattr("torchvision.datasets.utils.download_file_from_google_drive", refuse)
    with pytest.raises(
        DataError, match=r"too many users.*Fetch it by other means and put it at .*celeba/img_align"
    ):
        fetch("celeba", tmp_path)


def test_embedded_sets_need_nothing(tmp_path: Path) -> None:
    for name in ("digits", "faces"):
        assert fetch(name, tmp_path) == tmp_path
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UnknownNameError, match="did you mean 'faces'"):
        fetch("face")


def test_the_default_root_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TNPRIOR_DATA_ROOT", str(tmp_path))
    assert default_root() == tmp_path
    monkeypatch.delenv("TNPRIOR_DATA_ROOT")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "x"))
    assert default_root() == tmp_path / "x" / "tnprior"
