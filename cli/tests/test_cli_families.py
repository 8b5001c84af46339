"""Every family of models with every prior it takes, from settings to samples; models of equal size; no attributes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import GroupNorm

from tnprior_cli.attributes import Objects, RunAttribute
from tnprior_cli.build import build_model
from tnprior_cli.errors import UsageError
from tnprior_cli.families import build_family
from tnprior_cli.matched import matched, parameter_count
from tnprior_cli.settings import resolve
from tnprior_cli.training import weighed_by_share
from tnprior_models import (
    GAN,
    BatchDeviation,
    ClippedWasserstein,
    ConvCritic,
    ConvDecoder,
    ConvGenerator,
    FineCritic,
    JudgedLabels,
    MinMax,
    NonSaturating,
    Pathwise,
    PenalizedWasserstein,
    ReadLabels,
    Reinforce,
    ReparametrizedMeans,
    channel_norms,
    sample_norms,
)
from tnprior_models.nets import CellsToCode, CodeToCells

DIGITS = Objects((1, 8, 8), (RunAttribute("digit", tuple("0123456789")),))
NO_SIZE = ("prior.components=none", "prior.rank=none", "prior.spread=none")
PLAYED = ("model.family=gan", "train.validation=0", "gan.critic_steps=2")
PRIORS = {
    "train": ("prior.kind=train",),
    "ring": ("prior.kind=ring",),
    "mixture": ("prior.kind=mixture",),
    "factor ring": ("prior.kind=factor-ring", "prior.components=4", "prior.rank=3"),
    "normal": ("prior.kind=normal", *NO_SIZE),
    "ring behind a flow": ("prior.kind=ring", "prior.flow=2", "prior.flow_hidden=8"),
    "normal behind a flow": ("prior.kind=normal", *NO_SIZE, "prior.flow=2", "prior.flow_hidden=8"),
    "fixed ring": ("prior.kind=ring", "prior.fixed=true"),
}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny: tuple[str, ...]):
    """Trains a small model on the digits, once for each choice of settings."""
    from tnprior_cli.main import main

    made: dict[tuple[str, ...], Path] = {}

    def train(*settings: str) -> Path:
        if settings not in made:
            path = tmp_path_factory.mktemp("families") / "run"
            words = [
                word
                for text in ("prior.initialize=none", "train.epochs=1", *settings)
                for word in ("-s", text)
            ]
            assert main(["train", "digits", "--missing", "0.3", *tiny, *words, "-o", str(path), "-q"]) == 0
            made[settings] = path
        return made[settings]

    return train


@pytest.mark.parametrize("prior", [*PRIORS, "vamp"])
def test_a_vae_takes_every_prior(prior: str, trained, tnp, tmp_path: Path) -> None:
    run = trained(*PRIORS.get(prior, ("prior.kind=vamp", "prior.components=6")))
    assert tnp("sample", run, "--given", "digit=3", "-n", "4", "-o", tmp_path / "threes").code == 0
    assert (tmp_path / "threes" / "grid.png").is_file()


@pytest.mark.parametrize("prior", PRIORS)
def test_a_gan_takes_every_prior_without_an_encoder(prior: str, trained, tnp, tmp_path: Path) -> None:
    estimator = "means" if prior == "mixture" else "reinforce" if "flow" in prior else "pathwise"
    run = trained(*PLAYED, f"gan.estimator={estimator}", *PRIORS[prior])
    assert tnp("sample", run, "--given", "digit=3", "-n", "4", "-o", tmp_path / "threes").code == 0
    shown = tnp("info", run, "--json").json
    assert shown["model"]["family"] == "gan"
    assert "Samples" in shown["can"]
    terms = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert ("prior/loss" in terms) == (prior != "fixed ring")


@pytest.mark.parametrize("game", ["wgan", "minmax", "nonsaturating"])
@pytest.mark.parametrize("labels", [(), ("gan.labels=judged", "gan.networks=fine")], ids=["read", "judged"])
def test_every_game_is_played(labels: tuple[str, ...], game: str, trained, tnp, tmp_path: Path) -> None:
    run = trained(*PLAYED, f"gan.game={game}", *labels, "prior.kind=ring")
    assert tnp("sample", run, "-n", "2", "-o", tmp_path / "two").code == 0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ((), PenalizedWasserstein(1e-4, 5, weight=10.0, slope=2.0, norms=sample_norms)),
        (("gan.norm=channel", "gan.penalty=4"), PenalizedWasserstein(1e-4, 5, 4.0, 2.0, channel_norms)),
        (("gan.game=wgan", "gan.clip=0.02", "gan.critic_steps=3"), ClippedWasserstein(1e-4, 3, 0.02)),
        (("gan.game=minmax",), MinMax(1e-4, 1)),
        (("gan.game=nonsaturating", "gan.critic_steps=2"), NonSaturating(1e-4, 2)),
        (("gan.game=minmax", "gan.critic_steps=2", "gan.betas=0,0.99"), MinMax(1e-4, 2, betas=(0.0, 0.99))),
        (("gan.game=nonsaturating", "gan.penalty=1"), NonSaturating(1e-4, 1, weight=0.25)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_the_game_is_the_one_of_the_settings(settings: tuple[str, ...], expected: object) -> None:
    usual = ("model.family=gan", "train.validation=0", "train.lr=1e-4")
    model = build_family(resolve("digits", [*usual, *settings]), DIGITS)
    assert isinstance(model, GAN)
    assert model.game == expected


@pytest.mark.parametrize(("name", "transposed"), [("transposed", True), ("shuffled", False)])
def test_the_generator_doubles_as_the_settings_say(name: str, transposed: bool) -> None:
    model = build_family(resolve("digits", [*PLAYED, f"gan.doubling={name}"]), DIGITS)
    assert any(isinstance(part, torch.nn.ConvTranspose2d) for part in model.modules()) == transposed


@pytest.mark.gpu
def test_a_model_is_built_without_a_number_from_the_devices() -> None:
    before = torch.cuda.get_rng_state()
    build_model(resolve("digits", ["model.parameters=200_000"]), DIGITS)
    assert torch.equal(torch.cuda.get_rng_state(), before)


def test_networks_and_labels_are_those_of_the_settings() -> None:
    model = build_family(resolve("digits", [*PLAYED, "gan.label_weight=3"]), DIGITS)
    assert (type(model.critic), type(model.generator)) == (ConvCritic, ConvGenerator)
    assert model.labels == ReadLabels(3.0)
    fine = build_family(resolve("digits", [*PLAYED, "gan.networks=fine", "gan.labels=judged"]), DIGITS)
    assert (type(fine.critic), type(fine.generator[0])) == (FineCritic, ConvDecoder)
    assert fine.labels == JudgedLabels(distance=0.06 * 8)  # of images of 64 pixels
    free = [*PLAYED, "gan.labels=judged", "gan.matched=true", "gan.label_distance=none"]
    assert build_family(resolve("digits", free), DIGITS).labels == JudgedLabels(matched=True)
    by_channel = build_family(resolve("digits", [*free, "gan.norm=channel"]), DIGITS)
    assert by_channel.game.norms is channel_norms
    bounded = build_family(
        resolve("digits", [*PLAYED, "gan.labels=judged", "gan.game=nonsaturating"]), DIGITS
    )
    assert bounded.labels == JudgedLabels()


@pytest.mark.parametrize("spatial", ["true", "false"])
def test_codes_are_grids_if_the_settings_say_so(spatial: str) -> None:
    told = (f"model.spatial={spatial}", "model.latents=16", "model.normalization=layer", "model.width=16")
    vae = build_family(resolve("digits", told), DIGITS)
    gan = build_family(resolve("digits", [*PLAYED, "gan.networks=fine", *told]), DIGITS)
    for net, layers in (
        (vae.encoder, CellsToCode),
        (vae.decoder, CodeToCells),
        (gan.generator, CodeToCells),
    ):
        assert any(isinstance(part, layers) for part in net.modules()) == (spatial == "true")
        assert {m.num_groups for m in net.modules() if isinstance(m, GroupNorm)} == {1}


@pytest.mark.parametrize("family", ["vae", "cvae", "jmvae", "telbo"])
@pytest.mark.parametrize("grid", [4, 8])
def test_images_are_halved_as_often_as_the_grid_allows(family: str, grid: int) -> None:
    normal = (*PRIORS["normal"], "prior.initialize=none") if family in ("jmvae", "telbo") else ()
    recipe = "digits" if family == "vae" else "digits-cvae"
    model = build_family(resolve(recipe, [f"model.family={family}", f"model.grid={grid}", *normal]), DIGITS)
    parts = (model.encoder if family == "vae" else model.trunk, model.decoder)
    for part, layer in zip(parts, (torch.nn.Conv2d, torch.nn.ConvTranspose2d), strict=True):
        halvings = [m for m in part.modules() if isinstance(m, layer) and m.stride == (2, 2)]
        assert len(halvings) == (1 if grid == 4 else 0)


@pytest.mark.parametrize("family", ["cvae", "jmvae", "telbo"])
def test_every_vae_normalises_as_it_is_told(family: str) -> None:
    normal = () if family == "cvae" else (*PRIORS["normal"], "prior.initialize=none")
    told = [f"model.family={family}", "model.normalization=layer", "model.width=16", *normal]
    model = build_family(resolve("digits-cvae", told), DIGITS)
    assert {m.num_groups for m in model.modules() if isinstance(m, GroupNorm)} == {1}


def test_a_vae_with_codes_that_are_grids(trained, tnp, tmp_path: Path) -> None:
    run = trained("model.spatial=true", "model.latents=16", "prior.kind=ring", "model.normalization=layer")
    assert tnp("sample", run, "--given", "digit=3", "-n", "4", "-o", tmp_path / "threes").code == 0
    assert tnp("impute", run, "digits", "-o", tmp_path / "filled.csv").code == 0
    assert tnp("hop", run, "-n", "2", "-o", tmp_path / "hops").code == 0
    answer = tnp("eval", run, "-n", "20", "-k", "2", "--bounded", "20", "--classifier-steps", "12", "--json")
    assert answer.code == 0, answer.err
    assert "bound/elbo" in answer.json["values"]


@pytest.mark.parametrize("compares", ["true", "false"])
def test_the_fine_critic_compares_the_objects_of_a_batch_if_told_to(compares: str) -> None:
    gan = build_family(resolve("digits", [*PLAYED, "gan.networks=fine", f"gan.compares={compares}"]), DIGITS)
    found = any(isinstance(part, BatchDeviation) for part in gan.critic.modules())
    assert found == (compares == "true")


@pytest.mark.parametrize(
    ("name", "kind"), [("pathwise", Pathwise), ("means", ReparametrizedMeans), ("reinforce", Reinforce)]
)
def test_the_estimator_is_the_one_of_the_settings(name: str, kind: type) -> None:
    model = build_family(resolve("digits", [*PLAYED, f"gan.estimator={name}"]), DIGITS)
    assert isinstance(model, GAN)
    assert type(model.estimator) is kind


def test_a_gan_is_evaluated_and_says_what_it_cannot_do(trained, tnp, tmp_path: Path) -> None:
    run = trained(*PLAYED, "prior.kind=ring")
    answer = tnp(
        "eval", run, "-n", "20", "--classifier-steps", "12", "-o", tmp_path / "report.json", "--json"
    )
    assert answer.code == 0, answer.err
    assert {"generated-accuracy", "classifier-frechet"} <= set(answer.json["values"])
    assert not any(name.startswith(("bound/", "imputation")) for name in answer.json["values"])
    assert (tmp_path / "report.html").is_file()
    for data in ("digits", "faces"):  # of another size, which is not what is wrong
        refused = tnp("impute", run, data, "-o", tmp_path / "filled.csv")
        assert refused.code == 2
        assert "GAN" in refused.error
        assert not (tmp_path / "filled.csv").exists()


def test_a_gan_keeps_the_best_of_several(trained, tnp, tmp_path: Path) -> None:
    run = trained(*PLAYED, "prior.kind=ring", "gan.networks=fine", "gan.compares=true")
    for name, more in {
        "best": ["-n", 6, "--best-of", 3],
        "pieces": ["-n", 6, "--best-of", 3, "--batch-size", 4],
        "all": ["-n", 18],
    }.items():
        assert tnp("sample", run, "--given", "digit=3", *more, "-o", tmp_path / name, "-q").code == 0
    best, pieces, drawn = (
        np.load(tmp_path / name / "samples.npz")["latents"] for name in ("best", "pieces", "all")
    )
    assert (best == pieces).all()
    assert all(
        (kept == tries).all(1).any() for kept, tries in zip(best, drawn.reshape(6, 3, -1), strict=True)
    )
    assert (best != drawn[::3]).any()
    words = ["-n", "20", "--classifier-steps", "12", "--no-figures", "-o", tmp_path / "report.json", "--json"]
    answer = tnp("eval", run, "--best-of", "2", *words)
    assert answer.code == 0, answer.err
    assert any("best_of=2" in cells[4] for cells in answer.json["table"])


def test_a_gan_continues_where_it_stopped(trained, tnp, tiny: tuple[str, ...], tmp_path: Path) -> None:
    words = [word for text in ("prior.initialize=none", *PLAYED, "prior.kind=ring") for word in ("-s", text)]
    for name, parts in (("whole", ["2"]), ("parts", ["1", "2"])):
        for epochs in parts:
            more = ["--resume"] if epochs == "2" and len(parts) > 1 else []
            assert tnp("train", "digits", *tiny, *words, "-s", f"train.epochs={epochs}", *more,
                       "-o", tmp_path / name, "-q").code == 0  # fmt: skip
    from safetensors.numpy import load_file

    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all((whole[name] == parts[name]).all() for name in whole)


def test_a_model_without_attributes(trained, tnp, tmp_path: Path) -> None:
    run = trained("data.attributes=[]", "prior.kind=ring", "model.attribute_weight=1")
    assert tnp("sample", run, "-n", "4", "-o", tmp_path / "free").code == 0
    refused = tnp("sample", run, "--given", "digit=3", "-o", tmp_path / "threes")
    assert refused.code == 2
    assert "digit" in refused.error
    assert tnp("impute", run, "digits", "-o", tmp_path / "filled.csv").code == 2
    answer = tnp("eval", run, "-n", "20", "-k", "2", "--bounded", "20", "--classifier-steps", "12", "--json")
    assert answer.code == 0, answer.err
    assert {"bound/elbo", "classifier-frechet", "classifier-accuracy", "diversity/digit"} <= set(
        answer.json["values"]
    )
    assert "generated-accuracy" not in answer.json["values"]
    card = (run / "README.md").read_text()
    assert "--given" not in card
    assert "tnp impute" not in card


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("model.family=gan",), "train.validation"),
        ((*PLAYED, "prior.kind=vamp"), "no encoder"),
        ((*PLAYED, "prior.initialize=clusters"), "no codes"),
        ((*PLAYED, "gan.game=wgan", "gan.betas=[0, 0.9]"), "no betas"),
        ((*PLAYED, "gan.betas=[0, 1]"), "gan.betas"),
        (("prior.kind=vamp", "prior.initialize=clusters"), "behind an encoder or a flow"),
        (("prior.flow=2", "prior.initialize=clusters"), "behind an encoder or a flow"),
        (("prior.kind=vamp", "prior.order=random"), "no order"),
        (("prior.fixed=true", "prior.finish=3"), "fixed"),
        (("model.parameters=10",), "expected at least"),
        (("model.spatial=true", "model.latents=20"), "a multiple of 16 latents, as many for each of 4 x 4"),
        (("data.size=6",), "sides of at least 8 pixels"),
        ((*PLAYED, "model.spatial=true"), "leave model.spatial false"),
        ((*PLAYED, "model.normalization=layer"), "leave model.spatial false, model.grid 4 and model.norm"),
        ((*PLAYED, "model.grid=7"), "leave model.spatial false, model.grid 4 and model.normalization groups"),
        (("model.spatial=true", "model.grid=8"), "a multiple of 64 latents, as many for each of 8 x 8 cells"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else None,
)
def test_what_does_not_go_together_is_one_line(settings, message: str, tnp, tmp_path: Path) -> None:
    words = [word for text in settings for word in ("-s", text)]
    answer = tnp("train", "digits", *words, "-o", tmp_path / "run")
    assert answer.code == 2
    assert message in answer.error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("family", ["vae", "spatial vae", "gan"])
@pytest.mark.parametrize("prior", PRIORS)
def test_matched_models_have_as_many_parameters(family: str, prior: str) -> None:
    budget = 120_000
    told = {"vae": (), "spatial vae": ("model.spatial=true",), "gan": PLAYED}[family]
    config = resolve("digits", [f"model.parameters={budget}", "model.width=7", *PRIORS[prior], *told])
    found = matched(config, DIGITS)
    count = parameter_count(found, DIGITS)
    assert count <= budget
    wider = found.model_copy(
        update={"model": found.model.model_copy(update={"width": found.model.width + 1})}
    )
    assert parameter_count(wider, DIGITS) > budget
    if family != "gan":
        assert count > 0.98 * budget  # dense units are small change


def test_a_budget_too_small_for_the_prior_is_refused() -> None:
    config = resolve("digits", ["model.parameters=1000"])
    with pytest.raises(UsageError, match="expected at least"):
        matched(config, DIGITS)


def test_a_matched_run_is_rebuilt_as_it_was_trained(trained, tnp, tmp_path: Path) -> None:
    run = trained("model.parameters=60000", "prior.kind=ring")
    counts = tnp("info", run, "--json").json["parameters"]
    assert 0.95 * 60000 < counts["total"] <= 60000


def test_a_prior_is_fitted_to_a_matched_run(trained, tnp, tmp_path: Path) -> None:
    run, out = trained("model.parameters=60000", "prior.kind=ring"), tmp_path / "fitted"
    small = ("-s", "prior.rank=5", "-s", "prior.components=3", "-s", "fit.steps=2")
    assert tnp("fit-prior", run, *small, "-o", out).code == 0
    before, after = (tnp("info", path, "--json").json["parameters"] for path in (run, out))
    assert (before["encoder"], before["decoder"]) == (after["encoder"], after["decoder"])
    assert before["prior"] != after["prior"]
    assert tnp("sample", out, "-n", "2", "-o", tmp_path / "two").code == 0


def test_a_vamp_prior_starts_from_examples(trained) -> None:
    from safetensors.numpy import load_file

    run = trained("prior.kind=vamp", "prior.components=6", "train.prior_lr=1e-12")
    inputs = load_file(run / "model.safetensors")["prior.inputs"]
    import tnprior_data

    examples = tnprior_data.load("digits").x.numpy() / 255
    assert all(abs(examples - one).max(axis=(1, 2, 3)).min() < 1e-3 for one in inputs)


@pytest.mark.parametrize(("own", "learned"), [("none", 60.0), ("30", 30.0)])
def test_a_prior_may_weigh_the_labels_in_its_own_way(own: str, learned: float) -> None:
    config = resolve("digits", ["model.attribute_weight=60", f"prior.attribute_weight={own}"])
    model = build_family(config, DIGITS)
    assert model.attribute_weight == 60
    assert model.prior_weights().attributes == learned


def test_the_labels_may_lead() -> None:
    config = resolve("digits", ["model.attribute_lead=16", "model.attribute_lead_updates=20"])
    share = build_family(config, DIGITS).attribute_share
    assert (share.lead, share.updates) == (16.0, 20)


@pytest.mark.parametrize(("asked", "shown", "weight"), [(True, 3, 80.0), (False, 3, 60.0), (True, 0, 60.0)])
def test_few_labels_may_weigh_as_much_as_all_would(asked: bool, shown: int, weight: float) -> None:
    config = resolve("digits", ["model.attribute_weight=60", f"model.attribute_rescale={str(asked).lower()}"])
    observed = torch.arange(4)[:, None] < shown
    model = build_family(weighed_by_share(config, observed), DIGITS)
    assert model.attribute_weight == pytest.approx(weight)
    assert config.model.attribute_weight == 60
