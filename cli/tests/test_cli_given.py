"""The condition language: what it means, what it refuses, and that printing and reading are inverse."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tnprior_cli.errors import BadDataError, UsageError
from tnprior_cli.given import Term, combine, describe, parse_given, read_given_file

CASES = {
    "male=1": [Term("male", "is", ("1",))],
    "male=1,hat=1": [Term("male", "is", ("1",)), Term("hat", "is", ("1",))],
    "hair=blond|brown": [Term("hair", "is", ("blond", "brown"))],
    "digit!=3": [Term("digit", "is not", ("3",))],
    "digit != 3|5 ": [Term("digit", "is not", ("3", "5"))],
    "smile=?": [Term("smile", "free")],
    " male = 1 , hat = 0 ": [Term("male", "is", ("1",)), Term("hat", "is", ("0",))],
    r"brand=a\,b\|c\=d\!": [Term("brand", "is", ("a,b|c=d!",))],
    r"brand=\?": [Term("brand", "is", ("?",))],
    r"odd\!=1": [Term("odd!", "is", ("1",))],
    r"odd\\!=1": [Term("odd\\", "is not", ("1",))],
    r"size=\ 8 ": [Term("size", "is", (" 8",))],
    "ratio=a=b": [Term("ratio", "is", ("a=b",))],
    "": [],
    "  ": [],
}


@pytest.mark.parametrize("text", CASES)
def test_a_condition_is_read(text: str) -> None:
    assert list(parse_given([text])) == CASES[text]


def test_repeated_options_add_up() -> None:
    assert parse_given(["male=1", "hat=0,digit!=3"]) == parse_given(["male=1,hat=0,digit!=3"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("male", "expected name=value"),
        ("male=1,,hat=1", "expected name=value"),
        ("=1", "has no name"),
        ("male=", "write male=\\? to leave it free"),
        ("hair=a|", "empty value"),
        ("hair=a|a", "names a value twice"),
        ("male!=?", "write male=\\? to leave it free"),
        ("male=1,male=0", "'male' is given twice"),
        ("male=1,male=?", "'male' is given twice"),
        ("male=1\\", "nothing to escape"),
    ],
)
def test_a_malformed_condition_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_given([text])


def test_a_name_in_two_options_is_refused() -> None:
    with pytest.raises(UsageError, match="given twice"):
        parse_given(["male=1", "hat=0,male=1"])


LABELS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=6)
TERMS = st.tuples(  # the terms themselves are built in the test: the shape checks of a test run draw random numbers
    LABELS,
    st.sampled_from(["is", "is not", "free"]),
    st.lists(LABELS, min_size=1, max_size=3, unique=True),
)


@settings(max_examples=300)
@given(st.lists(TERMS, min_size=1, max_size=4, unique_by=lambda term: term[0]))
def test_what_is_printed_reads_back(parts: list[tuple[str, str, list[str]]]) -> None:
    terms = tuple(Term(name, how, () if how == "free" else tuple(labels)) for name, how, labels in parts)
    assert parse_given([describe(terms)]) == terms


def test_a_text_file_has_one_condition_per_line(tmp_path) -> None:
    file = tmp_path / "wanted.txt"
    file.write_text("male=1,hat=1\n\n# the rest\nhair=blond|brown\n")
    assert [describe(row) for row in read_given_file(file)] == ["male=1,hat=1", "hair=blond|brown"]


def test_a_csv_has_one_condition_per_row(tmp_path) -> None:
    file = tmp_path / "wanted.csv"
    file.write_text('male,hair,smile\n1,a|b,\n,!a,?\n,"x,y",1\n')
    rows = [describe(row) for row in read_given_file(file)]
    assert rows == ["male=1,hair=a|b", "hair!=a,smile=?", "hair=x\\,y,smile=1"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "male=1\nmale\n", "line 2: cannot read 'male'"),
        ("a.csv", "male,hat\n1\n", "line 2: expected 2 cells, found 1"),
        ("a.txt", "# nothing\n", "found none"),
        ("a.csv", "", "found none"),
    ],
)
def test_a_bad_file_names_its_line(tmp_path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(BadDataError, match=message):
        read_given_file(tmp_path / name)


def test_shared_terms_join_every_row() -> None:
    rows = [parse_given(["hat=1"]), parse_given(["hat=0"])]
    joined = combine(parse_given(["male=1"]), rows)
    assert [describe(row) for row in joined] == ["male=1,hat=1", "male=1,hat=0"]
    assert combine(parse_given(["male=1"]), []) == (parse_given(["male=1"]),)
    with pytest.raises(UsageError, match="given twice"):
        combine(parse_given(["hat=1"]), rows)
