"""Names, aliases and opposites of attributes."""

import pytest

from tnprior_data import Attribute, DataError, UnknownNameError, card, resolve, select

CELEBA = card("celeba").schema
HAT, MALE = Attribute("Wearing_Hat", ("0", "1"), aliases=("hat",)), Attribute("Male", ("0", "1"))


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("hat", "Wearing_Hat"),
        ("Wearing hat", "Wearing_Hat"),
        ("wearing-hat", "Wearing_Hat"),
        ("glasses", "Eyeglasses"),
        ("male", "Male"),
        ("blond", "Blond_Hair"),
        ("SMILING", "Smiling"),
        ("no_beard", "No_Beard"),
        ("5_o_clock_shadow", "5_o_Clock_Shadow"),
    ],
)
def test_celeba_answers_to_everyday_words(word: str, name: str) -> None:
    assert resolve(CELEBA, word).name == name


@pytest.mark.parametrize(("word", "name"), [("beard", "No_Beard"), ("female", "Male"), ("Old", "Young")])
def test_a_word_of_opposite_meaning_is_never_resolved(word: str, name: str) -> None:
    with pytest.raises(
        UnknownNameError, match=f"opposite of attribute '{name}'.*write {name}=0 for {word}=1"
    ):
        resolve(CELEBA, word)


def test_an_attribute_of_that_very_name_takes_the_word() -> None:
    beard = Attribute("Beard", ("0", "1"))
    no_beard = Attribute("No_Beard", ("0", "1"), opposites=("beard",))
    assert resolve((no_beard, beard), "beard") == beard


def test_the_exact_name_wins_over_case_and_case_over_alias() -> None:
    lower, upper = Attribute("hat", ("0", "1")), Attribute("Hat", ("0", "1"))
    assert resolve((lower, upper), "hat") == lower
    assert resolve((lower, upper), "Hat") == upper
    assert resolve((HAT, lower), "HAT") == lower
    with pytest.raises(UnknownNameError, match="could be any of hat, Hat"):
        resolve((lower, upper), "HAT")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("Smilng", "did you mean 'Smiling'"),
        ("male_", "did you mean 'Male'"),
        ("eyeglass", "did you mean 'Eyeglasses'"),
        ("glases", "did you mean 'glasses' \\(Eyeglasses\\)|did you mean"),
        ("xyzzy", "unknown attribute 'xyzzy': Allowed: 5_o_Clock_Shadow"),
    ],
)
def test_an_unknown_name_is_answered_with_the_closest(word: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        resolve(CELEBA, word)


def test_the_alias_is_suggested_when_no_name_is_close() -> None:
    with pytest.raises(
        UnknownNameError, match=r"did you mean 'hat' \(Wearing_Hat\)\? Allowed: Wearing_Hat, Male"
    ):
        resolve((HAT, MALE), "hatt")


def test_selection_keeps_the_order_of_the_words() -> None:
    assert select((HAT, MALE), ("male", "hat")) == (1, 0)
    with pytest.raises(DataError, match="'Wearing_Hat' is selected twice, as 'hat' and as 'wearing_hat'"):
        select((HAT, MALE), ("hat", "wearing_hat"))


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        ("", ("0", "1"), "needs a name"),
        ("a", (), "non-empty strings"),
        ("a", ("", "1"), "an empty cell means missing"),
        ("a", ("1", "1"), "stand twice"),
    ],
)
def test_bad_attributes_are_refused(name: str, labels: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Attribute(name, labels)


def test_codes_and_labels_correspond() -> None:
    digit = Attribute("digit", tuple("0123456789"))
    assert [digit.code(label) for label in digit.labels] == list(range(10))
    with pytest.raises(UnknownNameError, match="label of attribute 'digit' '11': did you mean '1'"):
        digit.code("11")


def test_celeba_has_its_forty_attributes() -> None:
    assert len(CELEBA) == 40
    assert len({attribute.name for attribute in CELEBA}) == 40
    words = [w.casefold() for a in CELEBA for w in (a.name, *a.aliases, *a.opposites)]
    assert len(words) == len(set(words))
