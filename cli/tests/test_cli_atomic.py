"""Outputs appear whole or not at all, and nothing that is not ours is replaced."""

import pytest

from tnprior_cli.atomic import new_directory, replacing_file, require_free, write_text
from tnprior_cli.errors import UsageError


def _names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole(tmp_path) -> None:
    write_text(tmp_path / "deep" / "a.txt", "new")
    assert (tmp_path / "deep" / "a.txt").read_text() == "new"
    assert _names(tmp_path / "deep") == ["a.txt"]


@pytest.mark.parametrize("stop", [OSError, KeyboardInterrupt])
def test_a_file_that_fails_leaves_the_old_one(tmp_path, stop: type[BaseException]) -> None:
    write_text(tmp_path / "a.txt", "old")

    def half() -> None:
        with replacing_file(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise stop

    with pytest.raises(stop):
        half()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert _names(tmp_path) == ["a.txt"]


def test_a_directory_takes_the_place_of_the_old_one(tmp_path) -> None:
    for text in ("old", "new"):
        with new_directory(tmp_path / "out") as temporary:
            (temporary / text).write_text(text)
    assert _names(tmp_path) == ["out"]
    assert _names(tmp_path / "out") == ["new"]


@pytest.mark.parametrize("stop", [OSError, KeyboardInterrupt])
def test_a_directory_that_fails_leaves_the_old_one(tmp_path, stop: type[BaseException]) -> None:
    with new_directory(tmp_path / "out") as temporary:
        (temporary / "old").write_text("")

    def half() -> None:
        with new_directory(tmp_path / "out") as temporary:
            (temporary / "half").write_text("")
            raise stop

    with pytest.raises(stop):
        half()
    assert _names(tmp_path) == ["out"]
    assert _names(tmp_path / "out") == ["old"]


def test_an_occupied_place_is_refused(tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    require_free(tmp_path / "mine", overwrite=False, ours=lambda path: False, noun="a run")
    require_free(tmp_path / "nothing", overwrite=False, ours=lambda path: False, noun="a run")
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match="exists already"):
        require_free(tmp_path / "mine", overwrite=False, ours=lambda path: True, noun="a run")
    with pytest.raises(UsageError, match="is not a run, so --overwrite leaves it alone"):
        require_free(tmp_path / "mine", overwrite=True, ours=lambda path: False, noun="a run")
    require_free(tmp_path / "mine", overwrite=True, ours=lambda path: True, noun="a run")
