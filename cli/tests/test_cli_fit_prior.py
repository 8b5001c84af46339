"""Fitting a prior to a trained run: what is kept, what is new, what is refused, what works afterwards."""

import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file

import tnprior_data
from tnprior_cli.attributes import Objects, RunAttribute
from tnprior_cli.build import load_model
from tnprior_cli.carried import carry_networks
from tnprior_cli.figures.curve import training_curve
from tnprior_cli.fit_codes import never_seen
from tnprior_cli.rundir import open_run
from tnprior_models import CheckpointError, Codes

SMALL = ("-s", "prior.rank=3", "-s", "prior.components=2", "-s", "fit.steps=20", "-s", "fit.batch_size=64")


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory, tiny: tuple[str, ...]) -> Path:
    """A plain VAE on the digits: its prior is a standard normal."""
    from tnprior_cli.main import main

    path = tmp_path_factory.mktemp("plain") / "vae"
    nothing = [word for name in ("components", "rank", "spread") for word in ("-s", f"prior.{name}=none")]
    words = ["train", "digits", "-s", "train.epochs=1", *tiny, "-s", "prior.initialize=none", *nothing]
    assert main([*words, "-s", "prior.kind=normal", "-o", str(path), "-q"]) == 0
    return path


def test_the_networks_stay_and_the_prior_is_new(plain_run: Path, tnp, tmp_path: Path) -> None:
    before = load_file(plain_run / "model.safetensors")
    answer = tnp("fit-prior", plain_run, "-o", tmp_path / "fitted", "--missing", "0.3", *SMALL)
    assert answer.code == 0, answer.err
    assert "step 20/20" in answer.err
    after = load_file(tmp_path / "fitted" / "model.safetensors")
    networks = {name for name in before if not name.startswith("prior.")}
    assert networks == {name for name in after if not name.startswith("prior.")}
    assert all((before[name] == after[name]).all() for name in networks)
    config = json.loads((tmp_path / "fitted" / "config.json").read_text())
    assert config["fit"]["source"] == str(plain_run)
    assert (config["prior"]["kind"], config["data"]["missing"]) == ("train", 0.3)
    assert {path.name for path in (tmp_path / "fitted").iterdir()} == {
        *("config.json", "config.toml", "model.safetensors", "attributes.json", "README.md"),
        *("metrics.jsonl", "env.json"),
    }
    lines = [json.loads(line) for line in (tmp_path / "fitted" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [20]
    assert lines[-1]["validation/fit/log_prior"] < 0
    assert "tnp fit-prior" in (tmp_path / "fitted" / "README.md").read_text()


def assert_its_card_repeats(first: Path, again: Path, tnp) -> None:
    """The command on the card of a run makes the same weights once more, to the bit."""
    card = (first / "README.md").read_text()
    (line,) = [line for line in card.splitlines() if line.startswith("tnp fit-prior")]
    words = [str(again) if word == "runs/again" else word for word in shlex.split(line)[1:]]
    assert tnp(*words).code == 0
    one, other = (load_file(run / "model.safetensors") for run in (first, again))
    assert all((one[name] == other[name]).all() for name in one)


def test_the_command_on_its_card_repeats_a_fit(plain_run: Path, tnp, tmp_path: Path) -> None:
    first, again = tmp_path / "fitted", tmp_path / "again"
    more = ("--missing", "0.3", "--seed", "7", "-s", "prior.initialize=none", "-s", "fit.attribute_weight=2")
    assert tnp("fit-prior", plain_run, "-o", first, *SMALL, *more).code == 0
    assert_its_card_repeats(first, again, tnp)


def test_a_fitted_run_tells_updates_and_not_epochs(plain_run: Path, tnp, tmp_path: Path) -> None:
    run = tmp_path / "fitted"
    assert tnp("fit-prior", plain_run, "-o", run, *SMALL, "-s", "fit.steps=250", "-q").code == 0
    shown = tnp("info", run)
    assert "fitted       250 updates of the prior" in shown.out
    assert "epoch" not in shown.out
    metrics = (run / "metrics.jsonl").read_text()
    lines = [json.loads(line, parse_constant=pytest.fail) for line in metrics.splitlines()]
    assert [line["step"] for line in lines] == [100, 200, 250]
    figure = training_curve(open_run(run))
    assert figure is not None
    assert "250 updates" in figure.caption
    assert "epoch" not in figure.caption


def test_a_fit_of_no_steps_is_its_start(plain_run: Path, tnp, tmp_path: Path) -> None:
    run = tmp_path / "fitted"
    assert tnp("fit-prior", plain_run, "-o", run, *SMALL, "-s", "fit.steps=0", "-q").code == 0
    (line,) = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert line["step"] == 0
    assert line["validation/fit/log_prior"] < 0


@pytest.mark.parametrize("kind", ["train", "ring", "mixture"])
def test_every_kind_is_fitted_and_answers(kind: str, plain_run: Path, tnp, tmp_path: Path) -> None:
    out = tmp_path / "fitted"
    answer = tnp("fit-prior", plain_run, "-o", out, *SMALL, "-s", f"prior.kind={kind}")
    assert answer.code == 0, answer.err
    assert tnp("sample", out, "--given", "digit=3", "-n", "4", "-o", tmp_path / "threes").code == 0
    assert (tmp_path / "threes" / "grid.png").is_file()
    shown = tnp("info", out, "--json").json
    assert shown["model"]["prior"] == kind


def test_a_seed_repeats_it(plain_run: Path, tnp, tmp_path: Path) -> None:
    runs = [tmp_path / name for name in ("one", "two", "other")]
    for run, seed in zip(runs, (1, 1, 2), strict=True):
        assert tnp("fit-prior", plain_run, "-o", run, "--seed", seed, *SMALL, "-q").code == 0
    one, two, other = (load_file(run / "model.safetensors") for run in runs)
    assert all((one[name] == two[name]).all() for name in one)
    assert any((one[name] != other[name]).any() for name in one)


def test_a_fitted_run_can_be_fitted_again(digits_run: Path, tnp, tmp_path: Path) -> None:
    assert tnp("fit-prior", digits_run, "-o", tmp_path / "again", *SMALL, "-q").code == 0
    assert tnp("fit-prior", tmp_path / "again", "-o", tmp_path / "thrice", *SMALL, "-q").code == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["-s", "model.latents=3"], 2, "cannot change model.latents"),
        (["-s", "train.epochs=3"], 2, "cannot change train.epochs"),
        (["-s", "prior.ranks=3"], 2, "prior.rank"),
        (["-s", "prior.kind=normal", "-s", "prior.components=none", "-s", "prior.spread=none",
          "-s", "prior.initialize=none"], 2, "nothing to fit"),
        (["-s", "fit=none"], 2, "cannot go without its settings"),
        (["-d", "tpu"], 2, "unknown device"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)  # fmt: skip
def test_what_a_fit_cannot_do_is_one_line(
    words: list[str], code: int, message: str, digits_run: Path, tnp, tmp_path: Path
) -> None:
    answer = tnp("fit-prior", digits_run, "-o", tmp_path / "fitted", *words)
    assert answer.code == code
    assert message in answer.error
    assert list(tmp_path.iterdir()) == []


def test_an_existing_output_is_kept(digits_run: Path, tnp, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    for more in ([], ["--overwrite"]):
        assert tnp("fit-prior", digits_run, "-o", tmp_path / "mine", *SMALL, *more).code == 2
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "all of it"
    answer = tnp("fit-prior", digits_run, "-o", digits_run, "--overwrite", *SMALL)
    assert "the run itself" in answer.error


NORMAL = ("prior.kind=normal", "prior.components=none", "prior.rank=none", "prior.spread=none")
FAMILIES = {
    "cvae": ("model.family=cvae", *NORMAL),
    "jmvae": ("model.family=jmvae", "model.alignment_weight=0.5", *NORMAL),
    "telbo": ("model.family=telbo", *NORMAL),
}


@pytest.fixture(scope="module", params=FAMILIES)
def other_run(request, tmp_path_factory: pytest.TempPathFactory, tiny: tuple[str, ...]) -> Path:
    """A small run on the digits of a family that is no VAE."""
    from tnprior_cli.main import main

    path = tmp_path_factory.mktemp(request.param) / request.param
    settings = ("prior.initialize=none", "train.epochs=1", *FAMILIES[request.param])
    words = [word for text in settings for word in ("-s", text)]
    assert main(["train", "digits", "--missing", "0.3", *tiny, *words, "-o", str(path), "-q"]) == 0
    return path


def test_a_run_of_another_family_keeps_its_networks_and_answers(other_run: Path, tnp, tmp_path: Path) -> None:
    run, family = tmp_path / "fitted", other_run.name
    answer = tnp("fit-prior", other_run, "-o", run, *SMALL)
    assert answer.code == 0, answer.err
    assert f"those of a {family}, unchanged" in answer.err
    config = json.loads((run / "config.json").read_text())
    assert config["model"]["family"] == ("cvae" if family == "cvae" else "vae")
    assert (config["prior"]["kind"], config["data"]["missing"]) == ("train", 0.3)
    models = [load_model(open_run(path), "cpu") for path in (other_run, run)]
    x = tnprior_data.load("digits", split="test").x[:40] / 255
    reconstructions = [model.reconstruct(x) for model in models]
    assert torch.equal(*reconstructions)
    (line,) = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert line["validation/fit/log_prior"] < 0
    for given in ("digit=3", "digit!=0"):
        assert tnp("sample", run, "--given", given, "-n", "4", "-o", tmp_path / given).code == 0
    assert tnp("impute", run, "digits", "-o", tmp_path / "filled.csv", "--draws", "2").code == 0
    words = ["-n", "20", "-k", "2", "--bounded", "20", "--classifier-steps", "12", "--no-figures"]
    answer = tnp("eval", run, *words, "-o", tmp_path / "report.json", "--json")
    assert answer.code == 0, answer.err
    assert {"bound/elbo", "imputation-accuracy", "generated-accuracy"} <= set(answer.json["values"])


def test_weights_are_carried_by_name_and_none_is_left_over(other_run: Path, tnp, tmp_path: Path) -> None:
    run, family = tmp_path / "fitted", other_run.name
    assert tnp("fit-prior", other_run, "-o", run, *SMALL, "-s", "fit.steps=0", "-q").code == 0
    before, after = (load_file(path / "model.safetensors") for path in (other_run, run))
    places = {"trunk.": "encoder.", "image_encoder.head.": "encoder."} if family != "cvae" else {}
    left = ("prior.", "joint_encoder.") if family != "cvae" else ("prior.",)
    kept = {}
    for name, tensor in before.items():
        old = next((start for start in places if name.startswith(start)), "")
        if not name.startswith(left):
            kept[places.get(old, "") + name.removeprefix(old)] = tensor
    assert set(kept) == {name for name in after if not name.startswith("prior.")}
    assert all((kept[name] == after[name]).all() for name in kept)


def test_networks_that_do_not_fit_are_refused_by_name(tmp_path: Path) -> None:
    trained = torch.nn.ModuleDict({"trunk": torch.nn.Linear(2, 2), "decoder": torch.nn.Linear(2, 3)})
    model = torch.nn.ModuleDict({"encoder": torch.nn.Linear(2, 2), "decoder": torch.nn.Linear(2, 3)})
    carry_networks("jmvae", trained, model)
    assert torch.equal(model["encoder"].weight, trained["trunk"].weight)
    model["decoder"], model["likelihood"] = torch.nn.Linear(2, 4), torch.nn.Linear(1, 1)
    with pytest.raises(CheckpointError, match=r"decoder.bias, decoder.weight, likelihood.bias, likelihood.w"):
        carry_networks("jmvae", trained, model)


def test_a_fitted_conditional_model_is_fitted_again_and_repeated(tnp, tmp_path: Path, tiny) -> None:
    run = tmp_path / "cvae"
    settings = ("prior.initialize=none", "train.epochs=1", *FAMILIES["cvae"])
    words = [word for text in settings for word in ("-s", text)]
    assert tnp("train", "digits", "--missing", "0.3", *tiny, *words, "-o", run, "-q").code == 0
    for out in ("one", "two"):
        assert tnp("fit-prior", run, "-o", tmp_path / out, *SMALL, "-q").code == 0
    one, two = (load_file(tmp_path / out / "model.safetensors") for out in ("one", "two"))
    assert all((one[name] == two[name]).all() for name in one)
    answer = tnp("fit-prior", tmp_path / "one", "-o", tmp_path / "ring", *SMALL, "-s", "prior.kind=ring")
    assert answer.code == 0, answer.err


def test_a_conditional_model_is_trained_with_a_joint_prior_that_is_refitted(
    tnp, tmp_path: Path, tiny: tuple[str, ...]
) -> None:
    run = tmp_path / "run"
    words = ("-s", "model.family=cvae", "-s", "train.epochs=3", "-s", "prior.settle=3")
    answer = tnp("train", "digits", "--missing", "0.3", *tiny, *words, "-o", run, "-q")
    assert answer.code == 0, answer.err
    assert tnp("sample", run, "--given", "digit=3", "-n", "4", "-o", tmp_path / "threes").code == 0


@pytest.fixture(scope="module", params=["[]", "none"], ids=["unlabelled", "labelled"])
def gan_run(request, tmp_path_factory: pytest.TempPathFactory, tiny: tuple[str, ...]) -> Path:
    """A small GAN on the digits, which knows them or does not."""
    from tnprior_cli.main import main

    path = tmp_path_factory.mktemp("gan") / "gan"
    settings = ("model.family=gan", "train.validation=0", "prior.initialize=none", "train.epochs=1")
    attributes = f"data.attributes={request.param}"
    words = [word for text in (*settings, attributes, "prior.start=noise") for word in ("-s", text)]
    assert main(["train", "digits", *tiny, *words, "-o", str(path), "-q"]) == 0
    return path


DIGIT = ("--missing", "0.3", "-s", "data.attributes=digit", "-s", "fit.objects=600")


def test_a_gan_is_fitted_to_what_it_generates_and_answers(gan_run: Path, tnp, tmp_path: Path) -> None:
    run = tmp_path / "fitted"
    answer = tnp("fit-prior", gan_run, "-o", run, *SMALL, *DIGIT)
    assert answer.code == 0, answer.err
    assert "of 600 objects that it generates" in answer.err
    assert re.search(
        r"read off generated objects\n.*classifier: accuracy (0.9|1.0)\d\d on", answer.err, re.DOTALL
    )
    before, after = (load_file(path / "model.safetensors") for path in (gan_run, run))
    kept = {name for name in before if name.startswith("generator.")}
    assert kept == {name for name in after if not name.startswith("prior.")}
    assert all((before[name] == after[name]).all() for name in kept)
    (line,) = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert line["validation/fit/log_prior"] < 0
    assert tnp("info", run, "--json").json["model"]["family"] == "gan"
    for given in ("digit=3", "digit!=0"):
        assert tnp("sample", run, "--given", given, "-n", "4", "-o", tmp_path / given).code == 0
    words = ["-n", "20", "--classifier-steps", "12", "--no-figures", "-o", tmp_path / "report.json", "--json"]
    answer = tnp("eval", run, *words)
    assert answer.code == 0, answer.err
    assert "generated-accuracy" in answer.json["values"]
    refused = tnp("impute", run, "digits", "-o", tmp_path / "filled.csv")
    assert refused.code == 2
    assert "received ImplicitModel, which satisfies Decodes" in refused.error
    for command in ("sample", "eval"):
        refused = tnp(command, run, "--given", "digit=3", "--best-of", 2, "-o", tmp_path / command)
        assert (refused.code, "Imputes" in refused.error, (tmp_path / command).exists()) == (2, True, False)


def test_labels_that_a_gan_never_generates_are_named() -> None:
    codes = torch.tensor([[0, 2], [1, 2], [0, 0]])
    table = Codes(torch.zeros(3, 1), torch.zeros(3, 1), codes, codes >= 0)
    attributes = (RunAttribute("hat", ("no", "yes")), RunAttribute("digit", ("a", "b", "c", "d")))
    assert never_seen(table, Objects((1, 8, 8), attributes)) == ["digit=b", "digit=d"]


def test_the_command_on_its_card_repeats_the_fit_of_a_gan(gan_run: Path, tnp, tmp_path: Path) -> None:
    first, again = tmp_path / "fitted", tmp_path / "again"
    assert tnp("fit-prior", gan_run, "-o", first, *SMALL, *DIGIT, "-q").code == 0
    assert_its_card_repeats(first, again, tnp)


def test_a_gan_without_attributes_is_told_to_name_some(gan_run: Path, tnp, tmp_path: Path) -> None:
    refused = tnp("fit-prior", gan_run, "-o", tmp_path / "fitted", "-s", "data.attributes=[]")
    assert refused.code == 2
    assert "knows the density of its own codes" in refused.error
    assert "name some with -s data.attributes=NAME,NAME" in refused.error
    refused = tnp(
        "fit-prior", gan_run, "-o", tmp_path / "fitted", *DIGIT, "--missing", "0.999999", "--dry-run"
    )
    assert (refused.code, "no label is observed" in refused.error) == (2, True)
    refused = tnp("fit-prior", gan_run, "-o", tmp_path / "fitted", "-s", "data.attributes=hat")
    assert "hat" in refused.error
    assert not (tmp_path / "fitted").exists()


def test_a_model_that_never_saw_a_label_is_given_some(tnp, tmp_path: Path, tiny: tuple[str, ...]) -> None:
    run, fitted = tmp_path / "vae", tmp_path / "fitted"
    words = ("-s", "data.attributes=[]", "-s", "prior.initialize=none", "-s", "prior.start=noise")
    assert tnp("train", "digits", *tiny, "-s", "train.epochs=1", *words, "-o", run, "-q").code == 0
    assert "unknown attribute" in tnp("sample", run, "--given", "digit=3", "-o", tmp_path / "no").error
    answer = tnp("fit-prior", run, "-o", fitted, "-s", "data.attributes=digit", *SMALL)
    assert answer.code == 0, answer.err
    assert tnp("sample", fitted, "--given", "digit=3", "-n", "4", "-o", tmp_path / "threes").code == 0
    assert tnp("impute", fitted, "digits", "-o", tmp_path / "filled.csv").code == 0


def test_networks_that_know_the_attributes_keep_them(tnp, tmp_path: Path, tiny: tuple[str, ...]) -> None:
    settings = ("prior.initialize=none", "train.epochs=1", *FAMILIES["cvae"])
    words = [word for text in settings for word in ("-s", text)]
    assert tnp("train", "digits", *tiny, *words, "-o", tmp_path / "cvae", "-q").code == 0
    refused = tnp("fit-prior", tmp_path / "cvae", "-o", tmp_path / "fitted", "-s", "data.attributes=[]")
    assert refused.code == 2
    assert "cannot change data.attributes" in refused.error


def test_no_run_no_fit(tnp, tmp_path: Path) -> None:
    assert tnp("fit-prior", tmp_path / "none", "-o", tmp_path / "fitted").code == 3


def test_a_dry_run_writes_nothing(digits_run: Path, tnp, tmp_path: Path) -> None:
    answer = tnp("fit-prior", digits_run, "-o", tmp_path / "fitted", "--dry-run", "--json", *SMALL)
    assert answer.code == 0
    assert answer.json["fit"]["steps"] == 20
    assert list(tmp_path.iterdir()) == []


def test_training_does_not_repeat_a_fit(digits_run: Path, tnp, tmp_path: Path) -> None:
    assert tnp("fit-prior", digits_run, "-o", tmp_path / "fitted", *SMALL, "-q").code == 0
    for more in (["-o", tmp_path / "new"], ["--resume"]):
        answer = tnp("train", tmp_path / "fitted", *more)
        assert answer.code == 2
        assert "tnp fit-prior" in answer.error


@pytest.mark.parametrize("setting", ["settle", "finish"])
def test_the_prior_is_trained_alone(setting: str, tiny: tuple[str, ...], tnp, tmp_path: Path) -> None:
    still = ("-s", "train.lr=1e-12", "-s", "train.prior_lr=1e-12", "-s", "train.epochs=2")
    raw = ("-s", "prior.initialize=none", "-s", "prior.start=noise")
    losses, weights = [], []
    for steps in (0, 100):
        run = tmp_path / f"{setting}-{steps}"
        answer = tnp(
            "train", "digits", *tiny, *still, *raw, "-s", f"prior.{setting}={steps}", "-o", run, "-q"
        )
        assert answer.code == 0, answer.err
        lines = (run / "metrics.jsonl").read_text().splitlines()
        losses.append(json.loads(lines[-1])["validation/bound/loss"])
        weights.append(load_file(run / "model.safetensors"))
    without, finished = weights
    for name, before in without.items():
        same = abs(finished[name] - before).max() < 1e-6
        assert same or name.startswith("prior."), name
    assert losses[1] < losses[0]
