"""Configurations: recipes, bases, overrides, what is refused, and TOML that reads back."""

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tnprior_cli.errors import UsageError
from tnprior_cli.recipes import recipe_names
from tnprior_cli.settings import changed_keys, resolve, setting_names
from tnprior_cli.toml import write_toml

GAN = ("model.family=gan", "train.validation=0")


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_resolves_and_reproduces_itself(name: str, tmp_path) -> None:
    config = resolve(name)
    file = tmp_path / "config.toml"
    file.write_text(write_toml(config.model_dump(mode="json")))
    assert resolve(str(file)) == config
    assert config.description


def test_a_ring_recipe_differs_from_its_base_in_the_prior_alone() -> None:
    changed = changed_keys(resolve("digits"), resolve("digits-ring"))
    assert set(changed) == {"description", "prior.kind"}


def test_a_plain_vae_has_a_prior_without_sizes() -> None:
    config = resolve("mnist-vae")
    assert (config.prior.kind, config.prior.rank, config.prior.components) == ("normal", None, None)
    assert config.model.attribute_weight == 1.0
    with pytest.raises(UsageError, match="a standard normal has no components, order"):
        resolve("mnist-vae", ["prior.components=4"])
    with pytest.raises(UsageError, match="is not refitted"):
        resolve("mnist-vae", ["prior.initialize=clusters"])


def test_a_cvae_keeps_codes_and_labels_apart() -> None:
    changed = changed_keys(resolve("digits"), resolve("digits-cvae"))
    assert {"model.family", "prior.kind"} <= set(changed)
    assert not any(key.startswith(("train.", "data.")) for key in changed)
    with pytest.raises(UsageError, match="a vamp prior asks an encoder of images alone"):
        resolve(
            "digits", ["model.family=cvae", "prior.kind=vamp", "prior.initialize=none", "prior.start=none"]
        )


def test_overrides_reach_every_type_of_setting() -> None:
    config = resolve(
        "faces",
        [
            "train.lr=1e-4",
            "data.attributes=male, hat",
            "prior.refit_every=5",
            "prior.initialize=none",
            "seed=3",
        ],
    )
    assert config.train.lr == 1e-4
    assert config.data.attributes == ("male", "hat")
    assert config.prior.refit_every == 5
    assert config.prior.initialize is None
    assert config.seed == 3


def test_the_last_override_wins_and_the_original_is_untouched() -> None:
    assert resolve("digits", ["seed=1", "seed=2"]).seed == 2
    assert resolve("digits").seed == 0


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.lrr=1"], "unknown setting 'train.lrr'; did you mean 'train.lr'"),
        (["trian.lr=1"], "unknown setting 'trian'"),
        (["prior.rank=0"], "prior.rank = 0: input should be greater than or equal to 1"),
        (["prior.kind=normal"], "a standard normal has no components, order or start"),
        (
            ["prior.kind=normal", "prior.components=none", "prior.spread=none", "prior.width=2"],
            "a normal has no Gaussians",
        ),
        (["prior.width=0"], "prior.width = 0"),
        (["prior.start=normal", "prior.spread=0", "prior.width=2"], "widths of its own"),
        (["prior.start=normal", "prior.spread=1"], "less than 1 apart"),
        (["prior.spread=0"], "labels that start at one place"),
        (["prior.leak=1.5"], "prior.leak = 1.5"),
        (["prior.leak=0"], "prior.leak = 0"),
        (["prior.start=noise", "prior.leak=1"], "start at places of their own can change"),
        (["prior.start=normal", "prior.spread=0", "prior.leak=1"], "start at places of their own can change"),
        (["prior.start=noise", "prior.switch=0.5"], "start from labels switch among those of one"),
        (["prior.kind=mixture", "prior.start=labels", "prior.switch=0.5"], "switch among those of one"),
        (["prior.start=noise", "prior.purity=0.99"], "only what starts from labels is sure"),
        (["prior.purity=0.2"], "prior.purity = 0.2"),
        (["prior.kind=mixture", "prior.leak=1"], "start at places of their own can change"),
        (["prior.fixed=true", "prior.attribute_weight=3"], "a fixed prior learns nothing"),
        (["model.family=cvae", "prior.attribute_weight=3"], "a cvae has one weight of its labels"),
        (["model.family=cvae", "model.attribute_lead_updates=3"], "a cvae has one weight of its labels"),
        (["model.attribute_lead=0.5"], "model.attribute_lead = 0.5"),
        (["gan.networks=fine", "gan.doubling=shuffled", *GAN], "the fine networks double images in one way"),
        (["gan.compares=true", *GAN], "only the fine critic compares"),
        (["gan.label_distance=0.1", *GAN], "only labels that are judged in wgan-gp have a distance"),
        (["gan.labels=judged", "gan.label_distance=none", *GAN], "or gan.matched to true"),
        (["gan.matched=true", *GAN], "only labels that are judged are matched"),
        (["gan.labels=judged", "gan.label_weight=2", *GAN], "have no weight; leave gan.label_weight 1"),
        (
            ["gan.labels=judged", "gan.norm=channel", *GAN],
            "labels at a distance have no channels to penalise",
        ),
        (["model.family=cvae", "model.spatial=true"], "a cvae has codes of the whole image"),
        (["prior.kind=mixture", "prior.factored=true"], "a mixture has no cores to factor"),
        (["prior.kind=mixture", "prior.start=normal"], "a mixture has no order, starts from noise or labels"),
        (["prior.kind=factor-ring", "prior.start=normal"], "a factor-ring starts from noise or labels"),
        (["prior.kind=factor-ring", "prior.initialize=mixtures"], "is refitted from clusters"),
        (
            ["prior.kind=factor-ring", "prior.rank=1"],
            "at least two points; set rank to 2 or more, or kind to mix",
        ),
        (
            ["prior.kind=ring", "prior.factors=2"],
            "a ring has no factors; set factors to 1, or kind to factor-ring",
        ),
        (["prior.kind=factor-ring", "prior.factors=4"], "points, at most 256; set rank or factors to less"),
        (["prior.kind=factor-ring", "prior.factored=true"], "a factor-ring has no cores to factor"),
        (["prior.kind=factor-ring", "prior.leak=0.1"], "only bond indices that start at places of their own"),
        (["prior.kind=vamp", "prior.start=labels"], "a vamp has no order, starts from noise and"),
        (["prior.kind=mixture", "prior.start=labels", "prior.spread=0"], "labels that start at one place"),
        (["prior.rank=none"], "a train needs a number for components, rank, spread"),
        (["prior.kind=tree"], "prior.kind = 'tree': input should be 'train', 'ring'"),
        (["data.missing=1.5"], "data.missing = 1.5"),
        (["train.lr=nan"], "train.lr"),
        (["train.lr"], "expected KEY=VALUE"),
        (["=3"], "expected KEY=VALUE"),
        (["train=3"], "train = 3"),
    ],
)
def test_a_bad_override_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        resolve("digits", overrides)


@pytest.mark.parametrize("overrides", [["prior.start=noise"], ["prior.kind=mixture", "prior.start=noise"]])
def test_a_spread_of_0_is_for_what_does_not_start_from_labels(overrides: list[str]) -> None:
    assert resolve("digits", [*overrides, "prior.spread=0"]).prior.spread == 0


def test_an_unknown_recipe_names_the_closest() -> None:
    with pytest.raises(UsageError, match="did you mean 'digits'"):
        resolve("digit")


def test_a_missing_file_and_broken_toml_are_named(tmp_path) -> None:
    with pytest.raises(UsageError, match="no such configuration"):
        resolve(str(tmp_path / "none.toml"))
    (tmp_path / "bad.toml").write_text("[data\nname = 1")
    with pytest.raises(UsageError, match=r"bad\.toml is not valid TOML"):
        resolve(str(tmp_path / "bad.toml"))


def test_a_file_may_build_on_a_recipe_or_another_file(tmp_path) -> None:
    (tmp_path / "first.toml").write_text('base = "digits"\n[train]\nepochs = 3\n')
    (tmp_path / "second.toml").write_text('base = "first.toml"\n[train]\nlr = 0.5\n')
    config = resolve(str(tmp_path / "second.toml"))
    assert (config.train.epochs, config.train.lr, config.data.name) == (3, 0.5, "digits")


def test_bases_in_a_circle_are_refused(tmp_path) -> None:
    (tmp_path / "a.toml").write_text('base = "b.toml"')
    (tmp_path / "b.toml").write_text('base = "a.toml"')
    with pytest.raises(UsageError, match="go in a circle"):
        resolve(str(tmp_path / "a.toml"))


def test_setting_names_are_dotted() -> None:
    assert {"seed", "data.name", "train.lr", "prior.rank"} <= set(setting_names())


SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
)
KEYS = st.from_regex(r"[a-z_]{1,6}", fullmatch=True)
TABLES = st.dictionaries(KEYS, st.one_of(SCALARS, st.lists(st.integers(), max_size=3)), max_size=4)


@settings(max_examples=200)
@given(st.dictionaries(KEYS, st.one_of(SCALARS, TABLES), max_size=4))
def test_written_toml_reads_back(table: dict[str, object]) -> None:
    assert tomllib.loads(write_toml(table)) == table
