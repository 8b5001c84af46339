"""Table files: what they may say, what is refused in them, and the tables that come with the package."""

from pathlib import Path

import pytest

from tnprior_cli.errors import UsageError
from tnprior_cli.settings import resolve
from tnprior_cli.tables import table_names
from tnprior_cli.tables.cells import Request, cells_of
from tnprior_cli.tables.definition import check_table, load_definition

TABLE = Path(__file__).with_name("small_table.toml").read_text(encoding="utf-8")


def table_file(folder: Path, text: str = TABLE) -> None:
    (folder / "small.toml").write_text('base = "digits"')
    (folder / "mini.toml").write_text(text)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ttlp-mnits"], "did you mean 'ttlp-mnist'"),
        (["no/such.toml"], "no such table"),
        (["mini.toml", "--rows", "half"], "rows are full, few"),
        (["mini.toml", "-s", "train.epoch=2"], "did you mean 'train.epochs'"),
        (["mini.toml", "-s", "seed=4"], "choose N with --seeds"),
        (["mini.toml", "-s", "fit.steps=4"], "no row of mini has a use for -s fit.steps=4"),
        (["mini.toml", "-d", "gpu"], "unknown device 'gpu'"),
        (["mini.toml", "--seeds", "0"], "--seeds"),
        (["mini.toml", "-o", "thesis"], "thesis exists and does not hold the table mini"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tnp
) -> None:
    monkeypatch.chdir(tmp_path)
    table_file(tmp_path)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    answer = tnp("table", *words)
    assert answer.code == 2
    assert message in answer.error
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('value = "generated-accuracy"', 'value = "generated-acuracy"', "did you mean 'generated-accuracy'"),
        ("accuracy = 89.94", "acuracy = 89.94", "did you mean 'accuracy'"),
        ("fid = 40.8", "frechet = 40.8", "which no paper has"),
        (", fid = 40.8", "", "has no value of ours and no number"),
        ('train = "small.toml"', "", "a row needs either train or fit"),
        ('train = "small.toml"', 'train = "smal.toml"', "no such configuration"),
        ('train = "small.toml"', 'train = "digitz"', "did you mean 'digits'"),
        ('train = "small.toml"', 'fit = "ful"', "unknown row to fit"),
        ('name = "few"', 'name = "full"', "two rows are called 'full'"),
        ('label = "70 % missing"', 'lable = "x"', "did you mean 'label'"),
        ('"data.missing=0.7"', '"data.missing=7"', "data.missing"),
        ('"--bounded"', '"--bound"', "--bound"),
        ("title = ", "titel = ", "did you mean 'title'"),
        ("[[rows]]", "[[rows", "not valid TOML"),
    ],
)
def test_a_mistake_in_a_table_file_is_one_line(
    old: str, new: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tnp
) -> None:
    monkeypatch.chdir(tmp_path)
    assert old in TABLE
    table_file(tmp_path, TABLE.replace(old, new, 1 if old == "title = " else -1))
    answer = tnp("table", "mini.toml", "--dry-run")
    assert answer.code == 2
    assert message in answer.error
    assert not (tmp_path / "tables").exists()


def test_the_tables_are_listed(tnp) -> None:
    answer = tnp("table")
    assert answer.code == 0
    assert [line.split()[0] for line in answer.out.splitlines()] == list(table_names())
    assert {"ablation-digits", "ttlp-celeba", "ttlp-mnist", "violation-faces"} <= set(
        tnp("table", "--json").json
    )


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("ttlp-mnist", {"cvae-0": (86.34, 39.10), "ttlp-70": (88.97, 41.86), "pretrained": (75.39, 47.53)}),
        (
            "ttlp-celeba",
            {"cvae-0": (82.89, 220.53), "ttlp-30": (84.89, 178.32), "pretrained": (87.5, 162.73)},
        ),
    ],
)
def test_the_published_numbers(name: str, published: dict[str, tuple[float, float]]) -> None:
    definition = load_definition(name)
    for row, numbers in published.items():
        paper = definition.table.row(row).paper
        assert (paper["accuracy"], paper["fid"]) == numbers
    cells = cells_of(definition, Request(name, Path("out"), seeds=3))
    assert len(cells) == 3 * 10
    assert {cell.seed for cell in cells} == {0, 1, 2}
    order = [cell.path for cell in cells]
    for cell in cells:
        if cell.base is not None:
            assert order.index(cell.base.path) < order.index(cell.path)


@pytest.mark.parametrize("name", table_names())
def test_every_table_that_comes_along_can_be_run(name: str) -> None:
    """Its columns are numbers that reports have, and the settings of its rows go together."""
    for cell in cells_of(load_definition(name), Request(name, Path("out"), seeds=1)):
        if cell.row.train is not None:
            assert resolve(cell.row.train, cell.settings).data.name


def test_settings_go_where_they_mean_something() -> None:
    settings = ("train.epochs=2", "prior.rank=8", "fit.steps=9")
    cells = cells_of(load_definition("ttlp-mnist"), Request("ttlp-mnist", Path("out"), 1, settings))
    own = {cell.row.name: cell.settings[-2:] for cell in cells}
    assert own["ttlp-0"] == ("train.epochs=2", "prior.rank=8")
    assert own["vae"] == ("seed=0", "train.epochs=2")
    assert own["pretrained"] == ("prior.rank=8", "fit.steps=9")


def test_a_published_number_for_a_distance_of_our_own_is_refused() -> None:
    content = {
        "title": "t",
        "source": "s",
        "columns": [{"name": "d", "title": "d", "value": "classifier-frechet"}],
        "rows": [{"name": "a", "label": "a", "train": "digits", "paper": {"d": 1.0}}],
    }
    with pytest.raises(UsageError, match="a column of their own"):
        check_table(content, "here")


def test_the_table_of_violations_holds_the_baselines_to_the_same_data() -> None:
    definition = load_definition("violation-faces")
    configs = {
        cell.row.name: cell.config()
        for cell in cells_of(definition, Request("violation-faces", Path("out"), seeds=1))
    }
    ours = configs.pop("grid")
    assert ours.model.spatial
    assert ours.data == configs["train"].data
    assert [config.model.family for config in configs.values()] == ["vae", "vae", "cvae", "jmvae", "telbo"]
    for config in configs.values():
        assert config.data == configs["train"].data
        same = {name: getattr(config.model, name) for name in ("latents", "width", "hidden", "likelihood")}
        assert all(value == getattr(configs["train"].model, name) for name, value in same.items())
        alike = {name: getattr(config.train, name) for name in ("epochs", "batch_size", "lr")}
        assert all(value == getattr(configs["train"].train, name) for name, value in alike.items())
