"""Imputing: the user's table comes back with its empty cells filled, and nothing else about it changed."""

import csv
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty digits with a table of the user's own making: an alias as heading, other columns, odd values."""
    from tnprior_cli.main import main

    path = tmp_path_factory.mktemp("objects") / "digits"
    assert main(["data", "export", "digits", "-n", "40", "--missing", "0.4", "-o", str(path), "-q"]) == 0
    rows = read(path / "metadata.csv")
    with (path / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["remark", "Number", "file_name", "code"])
        for i, row in enumerate(rows):
            writer.writerow(["a, b" if i % 2 else "", row["digit"], row["file_name"], f"{i:03d}"])
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def probabilities(row: dict[str, str], name: str) -> list[float]:
    return [float(row[f"p({name}={digit})"]) for digit in range(10)]


def test_empty_cells_are_filled_and_everything_else_is_kept(
    folder: Path, digits_run: Path, tnp, tmp_path
) -> None:
    answer = tnp("impute", digits_run, folder, "-o", tmp_path / "out.csv", "--json")
    assert answer.code == 0, answer.err
    before, after = read(folder / "metadata.csv"), read(tmp_path / "out.csv")
    assert list(after[0])[:5] == ["remark", "Number", "file_name", "code", "filled"]
    for old, new in zip(before, after, strict=True):
        chances = probabilities(new, "Number")
        assert {name: new[name] for name in ("remark", "file_name", "code")} == {
            name: old[name] for name in ("remark", "file_name", "code")
        }
        assert sum(chances) == pytest.approx(1, abs=1e-4)
        assert new["Number"] == str(chances.index(max(chances)))
        assert new["filled"] == ("" if old["Number"] else "Number")
        if old["Number"]:
            assert (new["Number"], max(chances)) == (old["Number"], 1)
    empty = sum(not row["Number"] for row in before)
    assert (answer.json["filled"], answer.json["known"]) == (empty, 40 - empty)
    assert 5 < empty < 30


def test_below_the_threshold_a_cell_stays_empty(folder: Path, digits_run: Path, tnp, tmp_path) -> None:
    for name, threshold in {"low": 0, "high": 1}.items():
        words = ["impute", digits_run, folder, "--threshold", threshold, "-o", tmp_path / f"{name}.csv"]
        assert tnp(*words).code == 0
    before = read(folder / "metadata.csv")
    assert all(row["Number"] for row in read(tmp_path / "low.csv"))
    assert [row["Number"] for row in read(tmp_path / "high.csv")] == [row["Number"] for row in before]
    assert {row["filled"] for row in read(tmp_path / "high.csv")} == {""}


def test_draws_are_complete_tables_that_keep_what_is_known(
    folder: Path, digits_run: Path, tnp, tmp_path
) -> None:
    assert tnp("impute", digits_run, folder, "--draws", 4, "-o", tmp_path / "out.csv").code == 0
    before, drawn = read(folder / "metadata.csv"), read(tmp_path / "out.draws.csv")
    assert [row["draw"] for row in drawn] == [str(draw) for draw in range(1, 5) for _ in range(40)]
    for i, row in enumerate(drawn):
        old = before[i % 40]
        assert row["file_name"] == old["file_name"]
        assert row["Number"] in ([old["Number"]] if old["Number"] else list("0123456789"))
    free = [i for i, row in enumerate(before) if not row["Number"]]
    assert any(len({drawn[i + 40 * m]["Number"] for m in range(4)}) > 1 for i in free)


def test_a_csv_a_zip_and_a_folder_of_images_are_read_too(
    folder: Path, digits_run: Path, tnp, tmp_path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "metadata.csv").rename(copy / "labels.csv")
    shutil.make_archive(str(tmp_path / "zipped"), "zip", folder)
    for name, given in {"csv": copy / "labels.csv", "zip": tmp_path / "zipped.zip", "folder": folder}.items():
        answer = tnp("impute", digits_run, given, "-o", tmp_path / f"{name}.out")
        assert answer.code == 0, answer.err
    tables = [(tmp_path / f"{name}.out").read_text() for name in ("csv", "zip", "folder")]
    assert tables[0] == tables[1] == tables[2]
    assert tnp("impute", digits_run, copy / "images", "-o", tmp_path / "images.csv").code == 0
    assert {row["filled"] for row in read(tmp_path / "images.csv")} == {"digit"}


def test_a_data_set_is_known_by_name_and_its_hidden_labels_are_compared(
    digits_run: Path, tnp, tmp_path
) -> None:
    words = ["impute", digits_run, "digits", "--missing", "0.5", "-o", tmp_path / "out.csv", "--json"]
    numbers = tnp(*words).json
    assert numbers["filled"] == numbers["hidden"] > 100
    assert 0 <= numbers["right"] <= numbers["hidden"]


def test_several_attributes_are_filled_row_by_row(faces_run: Path, tnp, tmp_path) -> None:
    source = faces_run.parent / "data"
    assert tnp("impute", faces_run, source, "-o", tmp_path / "out.csv").code == 0
    for old, new in zip(read(source / "metadata.csv"), read(tmp_path / "out.csv"), strict=True):
        filled = new["filled"].split("|") if new["filled"] else []
        assert filled == [name for name in ("male", "hat", "smiling") if not old[name]]
        assert old["beard"] == new["beard"]  # an attribute the run does not know


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(",7,", ",77,", 1), "unknown label of attribute 'digit' '77'"),
        (lambda text: text.replace("Number", "filled"), "which tnp impute writes; drop them first"),
        (lambda text: text.replace("images/0.png", "images/gone.png"), "gone.png"),
        (lambda text: text.replace("file_name", "files"), "file_name"),
        (lambda text: "", "empty"),
    ],
)
def test_a_bad_table_is_one_line_and_no_output(
    change, message, folder: Path, digits_run: Path, tnp, tmp_path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "metadata.csv").write_text(change((folder / "metadata.csv").read_text()))
    answer = tnp("impute", digits_run, copy, "-o", tmp_path / "out.csv")
    assert (answer.code, answer.out) == (3, "")
    assert message in answer.error
    assert not (tmp_path / "out.csv").exists()


def test_images_of_another_size_are_refused_unless_they_may_be_resized(
    faces_run: Path, digits_run: Path, tnp, tmp_path
) -> None:
    source = faces_run.parent / "data" / "images"
    answer = tnp("impute", digits_run, source, "-o", tmp_path / "out.csv")
    assert answer.code == 3
    assert "--resize" in answer.error
    assert not (tmp_path / "out.csv").exists()
    assert tnp("impute", digits_run, source, "--resize", "-o", tmp_path / "out.csv").code == 0


@pytest.mark.parametrize(
    ("words", "code"), [(["digitz"], 2), (["/no/such"], 3), (["digits", "--split", "x"], 2)]
)
def test_an_unknown_input_is_one_line(words: list[str], code: int, digits_run: Path, tnp, tmp_path) -> None:
    answer = tnp("impute", digits_run, *words, "-o", tmp_path / "out.csv")
    assert answer.code == code
    assert answer.error


def test_an_existing_table_is_kept_unless_asked(digits_run: Path, folder: Path, tnp, tmp_path) -> None:
    (tmp_path / "out.csv").write_text("mine")
    answer = tnp("impute", digits_run, folder, "-o", tmp_path / "out.csv")
    assert answer.code == 2
    assert (tmp_path / "out.csv").read_text() == "mine"
    assert tnp("impute", digits_run, folder, "-o", tmp_path / "out.csv", "--overwrite").code == 0
    assert (tmp_path / "out.csv").read_text() != "mine"
