"""Commands that write a folder refuse the name of a file for it, before any work is done."""

from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "words",
    [
        ("sample", "RUN"),
        ("hop", "RUN"),
        ("interpolate", "RUN"),
        ("marginals", "RUN"),
        ("fit-prior", "RUN"),
        ("train", "digits"),
        ("data", "export", "digits"),
        ("table", "embedded"),
    ],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("name", ["digits.png", "digits.CSV"])
def test_the_name_of_a_file_is_refused(
    words: tuple[str, ...], name: str, digits_run: Path, tnp, tmp_path: Path
) -> None:
    answer = tnp(*(digits_run if word == "RUN" else word for word in words), "-o", tmp_path / name)
    assert (answer.code, answer.out) == (2, "")
    assert f"try -o {tmp_path / 'digits'}" in answer.error
    assert list(tmp_path.iterdir()) == []


def test_a_number_at_the_end_is_no_file(digits_run: Path, tnp, tmp_path: Path) -> None:
    assert tnp("sample", digits_run, "-n", 2, "-o", tmp_path / "v1.5").code == 0
    assert (tmp_path / "v1.5" / "grid.png").is_file()
