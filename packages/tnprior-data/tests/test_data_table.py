"""Attribute tables and their CSV files."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tnprior_data import (
    Attribute,
    AttributeTable,
    DataError,
    TableError,
    format_table,
    read_table,
    write_table,
)
from tnprior_data.table_read import read_frame, table_from_frame

HAT = Attribute("hat", ("0", "1"), aliases=("cap",))
MOOD = Attribute("mood", ("glad", "sad", "None"))
NO_BEARD = Attribute("No_Beard", ("0", "1"), opposites=("beard",))
SCHEMA = (HAT, MOOD)


def read(text: str, schema: tuple[Attribute, ...] = SCHEMA) -> AttributeTable:
    return table_from_frame(read_frame(text.encode(), "t.csv"), schema, "t.csv")


# Any text may be a label or a name, with commas, quotes and line breaks in it; surrogates are no text.
words = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=8)
labels = st.lists(words, min_size=1, max_size=5, unique=True).map(tuple)


Parts = tuple[dict[str, dict[str, str | None]], dict[str, tuple[str, ...]]]


@st.composite
def parts(draw: st.DrawFn) -> Parts:
    headings = words.filter(lambda word: word not in ("file_name", "split"))
    labelled = draw(st.dictionaries(headings, labels, max_size=4))
    cells = {name: st.none() | st.sampled_from(values) for name, values in labelled.items()}
    rows = draw(st.dictionaries(words, st.fixed_dictionaries(cells), max_size=6))
    return rows, labelled


def built(parts: Parts) -> AttributeTable:
    rows, labelled = parts
    return AttributeTable.from_rows(rows, [Attribute(*column) for column in labelled.items()])


@given(parts())
def test_writing_and_reading_gives_the_same_table(parts: Parts) -> None:
    table = built(parts)
    back = read(format_table(table), table.schema)
    assert back.names == table.names
    assert back.schema == table.schema
    assert torch.equal(back.codes, table.codes)
    assert torch.equal(back.observed, table.observed)


@given(parts())
def test_rows_and_columns_say_what_went_in(parts: Parts) -> None:
    table = built(parts)
    assert {name: table.row(i) for i, name in enumerate(table.names)} == parts[0]
    for attribute in table.schema:
        assert table.column(attribute.name) == [row[attribute.name] for row in parts[0].values()]


def test_empty_cells_are_missing_and_everything_else_is_a_label() -> None:
    table = read('file_name,hat,mood\na.png,1,None\nb.png,,glad\nc.png,0,\nd.png,"",""\n')
    assert table.column("hat") == ["1", None, "0", None]
    assert table.column("mood") == ["None", "glad", None, None]
    assert not table.codes[~table.observed].any()


@pytest.mark.parametrize("label", ["NA", "nan", "null", "None", "True", "01", "1.0", " 1", "1e3", "-0"])
def test_labels_are_not_interpreted(label: str) -> None:
    schema = (Attribute("x", ("1", label)),)
    assert read(f"file_name,x\na,{label}\n", schema).column("x") == [label]


def test_windows_line_ends_and_a_byte_order_mark_are_fine() -> None:
    assert read("\ufefffile_name,hat\r\na.png,1\r\n\r\n").column("hat") == ["1"]


def test_an_absent_column_is_missing_and_an_alias_heads_one() -> None:
    table = read("file_name,Cap\na.png,1\n")
    assert table.column("hat") == ["1"]
    assert table.column("mood") == [None]


def test_foreign_columns_are_noted_and_split_is_not() -> None:
    table = read("file_name,split,hat,weight\na.png,train,1,3.5\n")
    assert table.notes == ("t.csv: columns without a known attribute: weight",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the table is empty"),
        ("hat\n1\n", "unknown column 'file_name'"),
        ("filename,hat\na,1\n", "did you mean 'filename'"),
        ("file_name,hat,hat\na,1,1\n", "header names these columns twice: 'hat'"),
        ("file_name,,hat\na,1,1\n", "column 2 has no heading"),
        ("file_name,hat\na,1,0\n", r"row 1 \(a\) has 3 cells; the header has 2"),
        ("file_name,hat\na,1\nb\n", r"row 2 \(b\) has 1 cells; the header has 2"),
        ("file_name,hat\na,1\n,0\n", "row 2 has an empty file_name"),
        ("file_name,hat\na,1\nb,0\na,1\n", "'a' stands twice, in rows 1 and 3"),
        ("file_name,hat\na,1\nb,yes\n", r"row 2 \(b\), column 'hat': unknown label of attribute 'hat' 'yes'"),
        ("file_name,mood\na,glat\n", "did you mean 'glad'\\? Allowed: glad, sad, None"),
        ("file_name,hat,cap\na,1,1\n", "columns 'hat' and 'cap' both stand for attribute 'hat'"),
        ("file_name,moot\na,glad\n", "column 'moot' is not an attribute: did you mean 'mood'"),
        ('file_name,hat\n"a,1\n', "not a CSV"),
    ],
)
def test_bad_tables_are_refused_with_the_place(text: str, message: str) -> None:
    with pytest.raises(TableError, match=message):
        read(text)


def test_a_column_of_opposite_meaning_is_refused() -> None:
    with pytest.raises(TableError, match=r"column 'Beard'.*opposite of attribute 'No_Beard'"):
        read("file_name,Beard\na,1\n", (NO_BEARD,))


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"file_name,hat\n\xff,1\n")
    with pytest.raises(TableError, match=r"t\.csv: expected CSV in UTF-8; byte 14 is not"):
        read_table(tmp_path / "t.csv", SCHEMA)


def test_an_absent_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"cannot read the table .*nothing\.csv: No such file"):
        read_table(tmp_path / "nothing.csv", SCHEMA)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = AttributeTable.from_rows({"a": {"hat": "1"}}, SCHEMA)
    write_table(table, tmp_path / "t.csv")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_table(AttributeTable.from_rows({}, SCHEMA), tmp_path / "t.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
    assert (tmp_path / "t.csv").read_text() == "file_name,hat,mood\na,1,\n"


def test_from_rows_names_the_row_of_an_unknown_word() -> None:
    with pytest.raises(TableError, match=r"row 2 \(b\): unknown attribute 'ha'"):
        AttributeTable.from_rows({"a": {}, "b": {"ha": "1"}}, SCHEMA)
    with pytest.raises(TableError, match=r"row 1 \(a\), column 'hat': .*'2'"):
        AttributeTable.from_rows({"a": {"hat": "2"}}, SCHEMA)


def test_tables_that_do_not_fit_together_are_refused() -> None:
    codes, seen = torch.zeros(2, 2, dtype=torch.int64), torch.ones(2, 2, dtype=torch.bool)
    with pytest.raises(
        TableError, match=r"3 names and 2 attributes need codes and observed of shape \(3, 2\)"
    ):
        AttributeTable(("a", "b", "c"), SCHEMA, codes, seen)
    with pytest.raises(TableError, match=r"'hat': codes must lie in 0\.\.1; got 0\.\.2"):
        AttributeTable(("a", "b"), SCHEMA, torch.tensor([[0, 0], [2, 0]]), seen)
    with pytest.raises(DataError, match="stands twice"):
        AttributeTable(("a", "a"), SCHEMA, codes, seen)


def test_a_hidden_code_is_forgotten() -> None:
    table = AttributeTable(("a",), (HAT,), torch.tensor([[1]]), torch.tensor([[False]]))
    assert table.codes.tolist() == [[0]]


def test_select_and_subset() -> None:
    table = AttributeTable.from_rows({"a": {"hat": "1", "mood": "sad"}, "b": {"hat": "0"}}, SCHEMA)
    assert table.select(["mood", "cap"]).row(0) == {"mood": "sad", "hat": "1"}
    assert table.subset(torch.tensor([1])).row(0) == {"hat": "0", "mood": None}
