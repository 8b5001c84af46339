"""Folders and zips of images with a table beside them."""

import contextlib
import io
import posixpath
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tnprior_data import (
    Attribute,
    DamagedFileError,
    DataError,
    MissingFilesError,
    TableError,
    UnknownNameError,
    load,
    open_folder,
)
from tnprior_data.source import inside


def png(level: int, side: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (level, 0, 255 - level)).save(buffer, "PNG")
    return buffer.getvalue()


def table(rows: list[str], header: str = "file_name,hat,n") -> bytes:
    return "\n".join([header, *rows, ""]).encode()


GOOD = {
    "metadata.csv": table(["a.png,1,10", "b.png,0,9", "c.png,,10"]),
    "a.png": png(1),
    "b.png": png(2),
    "c.png": png(3),
}


@pytest.fixture(params=["folder", "zip"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """Write files into a folder or a zip."""

    def write(files: dict[str, bytes]) -> Path:
        if request.param == "zip":
            with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
                for name, data in files.items():
                    archive.writestr(name, data)
            return tmp_path / "mine.zip"
        for name, data in files.items():
            (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "mine" / name).write_bytes(data)
        return tmp_path / "mine"

    return write


Place = Callable[[dict[str, bytes]], Path]


def test_labels_stay_as_they_are_and_numbers_are_ordered_as_such(place: Place) -> None:
    ds = open_folder(place(GOOD), split=None)
    assert [(a.name, a.labels) for a in ds.schema] == [("hat", ("0", "1")), ("n", ("9", "10"))]
    assert ds.truth.column("hat") == ["1", "0", None]
    assert ds.x[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert (ds.name, ds.names) == ("mine", ("a.png", "b.png", "c.png"))
    assert ds.notes == ()


def test_load_takes_a_path(place: Place) -> None:
    path = place(
        {
            **GOOD,
            "metadata.csv": table(
                ["a.png,1,10,train", "b.png,0,9,test", "c.png,,9,train"], "file_name,hat,n,split"
            ),
        }
    )
    assert load(path).names == load(str(path)).names == ("a.png", "c.png")
    assert load(path, split="test").names == ("b.png",)
    with pytest.raises(UnknownNameError, match=r"unknown split of .*'valid'.*Allowed: train, test"):
        load(path, split="valid")


def test_without_a_split_column_a_fixed_tenth_is_for_testing(place: Place) -> None:
    names = [f"{i}.png" for i in range(60)]
    path = place(
        {"metadata.csv": table([f"{n},{i % 2},{i % 3}" for i, n in enumerate(names)])}
        | {n: png(i) for i, n in enumerate(names)}
    )
    train, test = open_folder(path), open_folder(path, split="test", seed=9)
    assert len(test) == 6
    assert sorted(train.names + test.names) == sorted(names)
    assert train.names == open_folder(path, seed=5).names


def test_columns_that_are_no_attributes_are_left_out_with_the_reason(place: Place) -> None:
    rows = [f"{i}.png,{i},same,,{i % 2}" for i in range(70)]
    files = {f"{i}.png": png(i) for i in range(70)}
    path = place({"metadata.csv": table(rows, "file_name,id,one,none,hat"), **files})
    ds = open_folder(path, split=None)
    assert [a.name for a in ds.schema] == ["hat"]
    notes = "\n".join(ds.notes)
    assert "left out column 'id': it has 70 different labels, more than 64" in notes
    assert "left out column 'one': it has one label only, 'same'" in notes
    assert "left out column 'none': every cell is empty" in notes
    with pytest.raises(DataError, match="column 'one' cannot be an attribute: it has one label only"):
        open_folder(path, attributes=["hat", "One"])
    with pytest.raises(UnknownNameError, match="did you mean 'hat'"):
        open_folder(path, attributes=["hatt"])
    assert open_folder(path, attributes=["hat"]).notes == ()


def test_columns_named_as_in_celeba_get_its_aliases(place: Place) -> None:
    path = place(
        {
            **GOOD,
            "metadata.csv": table(["a.png,1,0", "b.png,0,1", "c.png,1,1"], "file_name,Wearing_Hat,No_Beard"),
        }
    )
    assert open_folder(path, split=None, attributes=["hat"]).schema[0].name == "Wearing_Hat"
    with pytest.raises(UnknownNameError, match="opposite of attribute 'No_Beard'"):
        open_folder(path, attributes=["beard"])


def test_images_without_a_row_are_noted(place: Place) -> None:
    ds = open_folder(place({**GOOD, "extra/z.jpg": b"", "readme.txt": b"", ".hidden.png": b""}), split=None)
    assert len(ds.notes) == 1
    assert "1 images have no row and were left out: extra/z.jpg" in ds.notes[0]


def test_a_known_schema_needs_no_table(place: Place) -> None:
    hat = Attribute("hat", ("0", "1"))
    files = {f"img/{i}.png": png(i) for i in range(3)}
    ds = open_folder(place(files), split=None, schema=(hat,))
    assert ds.schema == (hat,)
    assert len(ds) == 3
    assert not ds.observed.any()
    with pytest.raises(
        MissingFilesError,
        match=r"no metadata.csv; expected a CSV with the column 'file_name'.*3 images found",
    ):
        open_folder(place(files), split=None)


def test_a_known_schema_rules_the_table(place: Place) -> None:
    path = place(GOOD)
    ds = open_folder(path, split=None, schema=(Attribute("hat", ("no", "0", "1")), Attribute("mood", ("x",))))
    assert ds.codes.tolist() == [[2, 0], [1, 0], [0, 0]]
    assert ds.observed.tolist() == [[True, False], [True, False], [False, False]]
    assert "columns without a known attribute: n" in ds.notes[0]
    with pytest.raises(TableError, match=r"row 1 \(a.png\), column 'hat': .*'1'.*Allowed: 0, 2"):
        open_folder(path, split=None, schema=(Attribute("hat", ("0", "2")),))


BAD = {
    "missing file": ({"b.png": None}, MissingFilesError, r"names 1 files that are not there: b\.png"),
    "no table": ({"metadata.csv": None}, MissingFilesError, r"no metadata\.csv"),
    "duplicate": (
        {"metadata.csv": table(["a.png,1,2", "a.png,0,3"])},
        TableError,
        r"'a\.png' stands twice, in rows 1 and 2",
    ),
    "the same twice": ({"metadata.csv": table(["a.png,1,2", "./a.png,0,3"])}, TableError, "stands twice"),
    "empty name": (
        {"metadata.csv": table(["a.png,1,2", ",0,3"])},
        TableError,
        "row 2 has an empty file_name",
    ),
    "no names": ({"metadata.csv": b"hat,n\n1,2\n"}, TableError, "unknown column 'file_name'"),
    "absolute": (
        {"metadata.csv": table(["/etc/passwd,1,2", "b.png,0,3"])},
        DataError,
        r"'/etc/passwd' leaves the folder",
    ),
    "upwards": ({"metadata.csv": table(["img/../../x.png,1,2"])}, DataError, r"leaves the folder"),
    "backslashes": ({"metadata.csv": table([r"..\x.png,1,2"])}, DataError, r"leaves the folder"),
    "a drive": ({"metadata.csv": table([r"C:\x.png,1,2"])}, DataError, r"leaves the folder"),
    "truncated": ({"b.png": png(2)[:-30]}, DamagedFileError, r"b\.png: expected an image"),
    "text": ({"b.png": b"not an image"}, DamagedFileError, r"b\.png: expected an image"),
    "another size": (
        {"b.png": png(2, side=9)},
        DataError,
        r"a\.png is 8x8, b\.png is 9x9 pixels; choose one with size=",
    ),
    "empty split": (
        {"metadata.csv": table(["a.png,1,train", "b.png,0,"], "file_name,hat,split")},
        TableError,
        "row 2 has an empty split",
    ),
    "ragged": (
        {"metadata.csv": table(["a.png,1", "b.png,0,1"])},
        TableError,
        r"row 1 \(a\.png\) has 2 cells; the header has 3",
    ),
}


@pytest.mark.parametrize("case", list(BAD))
def test_bad_folders_give_one_clear_error(place: Place, case: str) -> None:
    change, error, message = BAD[case]
    files = {name: data for name, data in {**GOOD, **change}.items() if data is not None}
    with pytest.raises(error, match=message) as caught:
        open_folder(place(files), split=None)
    assert "\n" not in str(caught.value)


def test_no_place_at_all(tmp_path: Path) -> None:
    with pytest.raises(MissingFilesError, match="expected a folder or a zip of images"):
        open_folder(tmp_path / "nothing")
    (tmp_path / "fake.zip").write_bytes(b"PK nonsense")
    with pytest.raises(DamagedFileError, match="expected a zip archive"):
        open_folder(tmp_path / "fake.zip")
    with pytest.raises(
        UnknownNameError, match=r"unknown data set 'digit': did you mean 'digits'.*or the path of a folder"
    ):
        load("digit")
    with pytest.raises(MissingFilesError, match=r"no other\.csv"):
        open_folder(tmp_path / "other.csv", schema=(Attribute("hat", ("0", "1")),))


def test_a_table_further_down_is_pointed_at(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "metadata.csv").write_bytes(GOOD["metadata.csv"])
    with pytest.raises(MissingFilesError, match=r"there is one in deep/metadata\.csv: name that folder"):
        open_folder(tmp_path)


@given(st.text(st.sampled_from("./\\\\ab: \0"), max_size=12) | st.text(max_size=12))
def test_no_file_name_whatever_leaves_its_folder(name: str) -> None:
    root = PurePosixPath("/root")
    with contextlib.suppress(DataError):
        inner = inside(name, "here")
        assert posixpath.normpath(root / inner).startswith("/root/")
        assert PureWindowsPath("C:/root").joinpath(inner).as_posix().startswith("C:/root/")


def test_odd_names_that_stay_inside_are_fine(tmp_path: Path) -> None:
    names = ["..a.png", "12:30.png", "x/../b.png", "ü é.png"]
    (tmp_path / "metadata.csv").write_bytes(
        table([f"{name},{i % 2},{i % 3}" for i, name in enumerate(names)])
    )
    for name in ("..a.png", "12:30.png", "b.png", "ü é.png"):
        (tmp_path / name).write_bytes(png(1))
    assert open_folder(tmp_path, split=None).names == ("..a.png", "12:30.png", "b.png", "ü é.png")


def test_members_of_a_zip_cannot_escape(tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(png(77))
    path = tmp_path / "evil" / "mine.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../outside.png", png(1))
        archive.writestr("/tmp/evil.png", png(1))
        archive.writestr("a.png", png(5))
        archive.writestr("metadata.csv", table(["a.png,1,2", "../outside.png,0,3"]))
    with pytest.raises(DataError, match="leaves the folder"):
        open_folder(path, split=None)
    assert outside.read_bytes() == png(77)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["evil", "mine.zip", "outside.png"]


def test_a_member_that_lies_about_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in GOOD.items():
            archive.writestr(name, data)
    data = bytearray(path.read_bytes())
    start = data.index(b"b.png") + 5
    data[start + 3] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(DamagedFileError, match=r"cannot read member b\.png"):
        open_folder(path, split=None)


def test_huge_members_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tnprior_data.source.MOST_BYTES", 60)
    with zipfile.ZipFile(tmp_path / "mine.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.csv", b"x" * 1000)
    with pytest.raises(DamagedFileError, match="unpacks to more than 60 bytes"):
        open_folder(tmp_path / "mine.zip")


def test_a_csv_anywhere_beside_its_images(tmp_path: Path) -> None:
    for name, data in GOOD.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "mine.csv").write_bytes(table(["b.png,1,2", "c.png,0,3"]))
    ds = open_folder(tmp_path / "mine.csv", split=None)
    assert (ds.name, ds.names, ds.notes) == ("mine", ("b.png", "c.png"), ())


def test_shapes_are_brought_together_by_size(place: Place) -> None:
    path = place({**GOOD, "b.png": png(2, side=30)})
    ds = open_folder(path, split=None, size=10, channels=1)
    assert ds.x.shape == (3, 1, 10, 10)
    assert len(torch.unique(ds.x[1])) == 1


# The cache


def many(count: int = 520) -> dict[str, bytes]:
    files = {f"{i}.png": png(i % 256) for i in range(count)}
    rows = [f"{name},{i % 2},{i % 3}" for i, name in enumerate(files)]
    return {"metadata.csv": table(rows), **files}


def test_decoding_is_paid_once(place: Place, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place(many())
    first = open_folder(path, split=None)
    assert len(list((own_cache / "images").iterdir())) == 1

    def never(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("tnprior_data.folder.decode_all", never)
    assert torch.equal(open_folder(path, split=None).x, first.x)
    with pytest.raises(AssertionError, match="decoded again"):
        open_folder(path, split=None, size=4)


def test_another_content_is_decoded_again(place: Place) -> None:
    files = many()
    before = open_folder(place(files), split=None).x
    files["7.png"] = png(200)
    after = open_folder(place(files), split=None).x
    assert torch.nonzero((before != after).flatten(1).any(1)).flatten().tolist() == [7]


@pytest.mark.parametrize("damage", [b"", b"junk", None])
def test_a_damaged_cache_file_is_replaced(place: Place, own_cache: Path, damage: bytes | None) -> None:
    path = place(many())
    first = open_folder(path, split=None).x
    (file,) = (own_cache / "images").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-100] if damage is None else damage)
    assert torch.equal(open_folder(path, split=None).x, first)
    assert file.read_bytes() == whole


def test_a_cache_of_objects_is_not_unpickled(place: Place, own_cache: Path) -> None:
    path = place(many())
    first = open_folder(path, split=None).x
    (file,) = (own_cache / "images").iterdir()
    with file.open("wb") as stream:
        np.lib.format.write_array(stream, np.array([{}], dtype=object), allow_pickle=True)
    assert torch.equal(open_folder(path, split=None).x, first)


def test_no_place_for_the_cache_costs_time_only(place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    ds = open_folder(place(many()), split=None, cache=tmp_path / "file")
    assert len(ds) == 520


def test_small_folders_leave_no_trace(place: Place, own_cache: Path) -> None:
    open_folder(place(GOOD), split=None)
    assert list(own_cache.iterdir()) == []
