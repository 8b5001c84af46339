"""What every data set promises, whatever it is and however it lies on the disk; CASES in conftest has them."""

from functools import cache
from pathlib import Path

import pytest
import torch

import tnprior_data
from tnprior_data import DataError, Dataset, UnknownNameError, load, read_table, resolve, summary, write_table

pytestmark = pytest.mark.usefixtures("few_faces")


@cache
def _load(arguments: tuple[tuple[str, object], ...]) -> Dataset:
    return load(**dict(arguments))


def loaded(kind: dict[str, object], **options: object) -> Dataset:
    """Load once per combination of options."""
    return _load(tuple(sorted({**kind, **options}.items())))


def listing(path: object) -> list[tuple[str, int, int]]:
    root = Path(str(path))
    files = [root] if root.is_file() else sorted(root.rglob("*"))
    return [(str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files]


def splits(kind: dict[str, object]) -> tuple[str, ...]:
    return ("train", "test")


def test_arrays_have_their_types_and_shapes(kind: dict[str, object]) -> None:
    for split in splits(kind):
        ds = loaded(kind, split=split)
        n, a = len(ds), len(ds.schema)
        assert n > 0
        assert a > 0
        assert (ds.x.dtype, ds.x.shape) == (torch.uint8, (n, *ds.shape))
        assert (ds.codes.dtype, ds.codes.shape) == (torch.int64, (n, a))
        assert (ds.observed.dtype, ds.observed.shape) == (torch.bool, (n, a))
        assert ds.shape[0] in (1, 3)
        assert ds.x.is_contiguous()
        assert len(set(ds.names)) == n
        limits = torch.tensor([len(attribute.labels) for attribute in ds.schema])
        assert bool(((ds.codes >= 0) & (ds.codes < limits)).all())
        if ds.card.shape is not None:
            assert ds.shape == ds.card.shape


def test_train_and_test_share_the_schema_and_no_image_name(kind: dict[str, object]) -> None:
    train, test = (loaded(kind, split=split) for split in splits(kind))
    assert train.schema == test.schema
    assert train.shape == test.shape
    if not train.names[0].isdigit():
        assert set(train.names).isdisjoint(test.names)


def test_loading_again_gives_the_same_bytes(kind: dict[str, object]) -> None:
    first, again = loaded(kind, missing=0.3), load(**kind, missing=0.3)
    assert first.x is not again.x
    assert torch.equal(first.x, again.x)
    assert torch.equal(first.codes, again.codes)
    assert torch.equal(first.observed, again.observed)
    assert (first.names, first.schema, first.card) == (again.names, again.schema, again.card)


def test_the_images_differ_from_each_other(kind: dict[str, object]) -> None:
    ds = loaded(kind)
    assert len(torch.unique(ds.x.flatten(1), dim=0)) > min(4, len(ds) // 2)


def test_nothing_is_hidden_unless_asked(kind: dict[str, object]) -> None:
    ds = loaded(kind)
    assert torch.equal(ds.observed, ds.truth.observed)
    assert torch.equal(ds.codes, ds.truth.codes)


def test_hidden_labels_leave_no_trace_outside_the_truth(kind: dict[str, object]) -> None:
    whole, ds = loaded(kind), loaded(kind, missing=0.5)
    assert torch.equal(ds.truth.codes, whole.truth.codes)
    assert torch.equal(ds.truth.observed, whole.truth.observed)
    assert bool((ds.truth.observed | ~ds.observed).all())
    assert not ds.codes[~ds.observed].any()
    hidden = whole.observed & ~ds.observed
    share = hidden.sum() / whole.observed.sum()
    assert 0.1 < share.item() < 0.9


def test_more_missing_hides_a_superset_and_the_seed_decides_which(kind: dict[str, object]) -> None:
    some, more = loaded(kind, missing=0.3), loaded(kind, missing=0.7)
    assert bool((some.observed | ~more.observed).all())
    assert bool((some.observed & ~more.observed).any())
    assert not torch.equal(some.observed, loaded(kind, missing=0.3, seed=1).observed)
    assert not loaded(kind, missing=1.0).observed.any()


def test_what_is_hidden_depends_on_neither_selection_nor_order(kind: dict[str, object]) -> None:
    whole = loaded(kind, missing=0.4)
    for k, attribute in enumerate(whole.schema):
        alone = load(**kind, missing=0.4, attributes=(attribute.name,)) if k < 2 else whole.truth
        if isinstance(alone, Dataset):
            assert alone.schema == (attribute,)
            assert torch.equal(alone.observed[:, 0], whole.observed[:, k])
            assert torch.equal(alone.x, whole.x)
    backwards = loaded(kind, missing=0.4, attributes=tuple(a.name for a in whole.schema[::-1]))
    assert torch.equal(backwards.codes.flip(1), whole.codes)
    assert torch.equal(backwards.observed.flip(1), whole.observed)


def test_no_attributes_at_all_is_allowed(kind: dict[str, object]) -> None:
    ds = loaded(kind, attributes=())
    assert ds.codes.shape == (len(ds), 0)


def test_aliases_and_other_cases_find_the_attribute(kind: dict[str, object]) -> None:
    ds = loaded(kind)
    for attribute in ds.schema:
        for word in (attribute.name, attribute.name.upper(), *attribute.aliases):
            assert resolve(ds.schema, word) == attribute
        for word in attribute.opposites:
            with pytest.raises(UnknownNameError, match="opposite"):
                resolve(ds.schema, word)


def test_unknown_words_are_answered_with_the_closest(kind: dict[str, object]) -> None:
    name = loaded(kind).schema[0].name
    with pytest.raises(UnknownNameError, match=f"did you mean .*{name}"):
        load(**kind, attributes=(name[:-1] + "q",))
    with pytest.raises(UnknownNameError, match=r"did you mean 'train'.*Allowed: train, "):
        load(**kind, split="trian")
    with pytest.raises(UnknownNameError, match=f"label of attribute '{name}'"):
        resolve(loaded(kind).schema, name).code("no such label")
    with pytest.raises(DataError, match=r"must lie in \[0, 1\]; got 1.5"):
        load(**kind, missing=1.5)


def test_images_are_resized_and_recoloured_on_request(kind: dict[str, object]) -> None:
    for channels in (1, 3):
        assert load(**kind, size=12, crop=7, channels=channels).shape == (channels, 12, 12)
    with pytest.raises(DataError, match="channels must be 1"):
        load(**kind, channels=2)
    with pytest.raises(DataError, match="crop=1000 is larger than the image"):
        load(**kind, crop=1000)


def test_the_files_are_left_alone(kind: dict[str, object]) -> None:
    where = kind.get("root", kind["name"])
    before = listing(where)
    load(**kind)
    assert listing(where) == before


def test_a_subset_keeps_rows_together(kind: dict[str, object]) -> None:
    ds = loaded(kind, missing=0.3)
    rows = [3, 0, 2]
    part = ds.subset(rows)
    assert part.names == tuple(ds.names[i] for i in rows)
    for ours, theirs in ((part.x, ds.x), (part.codes, ds.codes), (part.truth.codes, ds.truth.codes)):
        assert torch.equal(ours, theirs[rows])
    assert len(ds.subset([])) == 0
    with pytest.raises(DataError, match="rows must lie in"):
        ds.subset([len(ds)])


def test_the_table_survives_a_file(kind: dict[str, object], tmp_path: Path) -> None:
    table = loaded(kind, missing=0.3).table
    write_table(table, tmp_path / "t.csv")
    back = read_table(tmp_path / "t.csv", table.schema)
    assert back.names == table.names
    assert torch.equal(back.codes, table.codes)
    assert torch.equal(back.observed, table.observed)


def test_the_summary_counts_what_training_may_see(kind: dict[str, object]) -> None:
    ds = loaded(kind, missing=0.3)
    found = summary(ds)
    assert (found.n, found.shape, found.name) == (len(ds), ds.shape, ds.name)
    assert found.mean == pytest.approx(ds.x.double().mean().item() / 255, abs=1e-9)
    assert found.std == pytest.approx(ds.x.double().std(correction=0).item() / 255, abs=1e-9)
    for k, attribute in enumerate(found.attributes):
        column = ds.table.column(attribute.name)
        assert attribute.counts == {label: column.count(label) for label in ds.schema[k].labels}
        assert attribute.missing_rate == pytest.approx(column.count(None) / len(ds))
    assert len(found.dependences) == len(ds.schema) * (len(ds.schema) - 1) // 2


def test_the_card_says_what_it_must(kind: dict[str, object]) -> None:
    card = loaded(kind).card
    assert card.description
    assert card.licence
    assert {"train", "test"} <= set(card.splits)
    for alias, name in card.aliases.items():
        assert resolve(card.schema, alias).name == name
    assert all(len(digest) == 32 for digest in card.md5.values())
    assert all(len(digest) == 64 for digest in card.sha256.values())


def test_every_named_data_set_has_a_case_and_a_card(request: pytest.FixtureRequest) -> None:
    from_cases = {item.callspec.id for item in request.session.items if hasattr(item, "callspec")}
    for name in tnprior_data.names():
        assert tnprior_data.card(name).name == name
        assert any(case.startswith(name) for case in from_cases) or len(from_cases) < 2
