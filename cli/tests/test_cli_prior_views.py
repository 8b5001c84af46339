"""Pictures of the prior for every kind of model and prior: decoded alike, or refused in one line."""

import math
from pathlib import Path

import pytest
import torch

from tnprior_cli.errors import UsageError
from tnprior_cli.prior_views.decoded import decode_values
from tnprior_cli.prior_views.exact import closed, exact_prior
from tnprior_core import (
    Categorical,
    FlowPrior,
    Gaussian,
    LinearMap,
    StandardNormalPrior,
    TensorRingPrior,
    TensorTrainPrior,
)
from tnprior_eval import quantize
from tnprior_models import (
    CVAE,
    GAN,
    Bernoulli,
    CapabilityError,
    ConvCritic,
    ConvDecoder,
    ConvFeatures,
    ConvGenerator,
    DenseHead,
    LabelledCode,
)

TINY_RUN = (
    *("-s", "model.width=4", "-s", "model.hidden=8", "-s", "model.latents=3", "-s", "train.epochs=1"),
    *("-s", "prior.components=3", "-s", "prior.initialize=none", "-s", "train.validation=0", "-q"),
    *("-s", "train.patience=none", "-s", "train.batch_size=480"),
)
GAN_RUN = ("-s", "model.family=gan", "-s", "prior.rank=2")
MIXED = ("-s", "prior.start=noise", "-s", "prior.rank=2")
VAMP_RUN = ("-s", "prior.kind=vamp", *MIXED)
FACTOR_RUN = ("-s", "prior.kind=factor-ring", *MIXED)
FLOW_RUN = ("-s", "prior.flow=2", "-s", "prior.rank=2")
TURNED_RUN = ("-s", "prior.initialize=axes", "-s", "prior.rank=2")
PICTURES = (
    ("hop", "-n", 2, "--hops", 2),
    ("interpolate", "-n", 2, "--steps", 3),
    ("interpolate", "-n", 2, "--steps", 3, "--from", "digit=3", "--to", "digit=8"),
    ("marginals", "--points", 9, "--given", "digit=3"),
)


@pytest.mark.parametrize(
    ("settings", "codes"),
    [
        (GAN_RUN, (0, 0, 0, 0)),
        (VAMP_RUN, (0, 0, 0, 0)),
        (FACTOR_RUN, (0, 0, 0, 0)),
        (FLOW_RUN, (0, 0, 0, 2)),
        (TURNED_RUN, (0, 0, 0, 0)),
    ],
    ids=["gan", "vamp", "factor ring", "flow", "turned"],
)
def test_runs_of_every_kind(settings: tuple[str, ...], codes: tuple[int, ...], tnp, tmp_path: Path) -> None:
    run = tmp_path / "run"
    answer = tnp("train", "digits", *TINY_RUN, *settings, "-o", run)
    assert answer.code == 0, answer.err
    for (command, *words), code in zip(PICTURES, codes, strict=True):
        out = tmp_path / f"{command}{len(words)}"
        answer = tnp(command, run, *words, "-o", out, "-q")
        assert answer.code == code, answer.err
        assert out.exists() == (code == 0)
        assert code == 0 or "behind a flow" in answer.error


def test_a_condition_that_the_model_excludes_is_exit_code_4(tnp, tmp_path: Path) -> None:
    from tnprior_cli.build import load_model
    from tnprior_cli.rundir import open_run
    from tnprior_models.checkpoint import save_weights

    settings = [*TINY_RUN, "-s", "prior.kind=mixture", *MIXED]
    assert tnp("train", "digits", *settings, "-o", tmp_path / "run").code == 0
    model = load_model(open_run(tmp_path / "run"), "cpu")
    (logits,) = model.prior.label_logits.values()
    logits[..., 3] = -math.inf
    save_weights(tmp_path / "run" / "model.safetensors", model)
    for words in (
        ["hop", "--given", "digit=3"],
        ["interpolate", "--given", "digit=3"],
        ["interpolate", "--from", "digit=2", "--to", "digit=3"],
        ["marginals", "--given", "digit=3"],
    ):
        answer = tnp(words[0], tmp_path / "run", *words[1:], "-o", tmp_path / "out")
        assert (answer.code, answer.out) == (4, "")
        assert "digit=3 has probability zero" in answer.error
        assert not (tmp_path / "out").exists()


LABELLED = [Gaussian("z0", 2), Gaussian("z1", 2), Categorical("hat")]


def cvae() -> CVAE:
    torch.manual_seed(0)
    trunk = ConvFeatures((1, 8, 8), width=8)
    predictor, encoder = DenseHead(trunk.size, 2), LabelledCode(trunk.size, 2, latent_size=2)
    decoder = ConvDecoder((1, 8, 8), latent_size=4, width=8)
    return CVAE(trunk, predictor, encoder, decoder, StandardNormalPrior(LABELLED), Bernoulli()).eval()


def gan() -> GAN:
    torch.manual_seed(0)
    generator = ConvGenerator((1, 8, 8), latent_size=2, width=8)
    return GAN(generator, ConvCritic((1, 8, 8), labels=2, width=8), TensorRingPrior(LABELLED, rank=2)).eval()


@pytest.mark.parametrize("make", [cvae, gan])
def test_every_kind_of_model_decodes_site_values(make) -> None:
    model = make()
    sampled = model.sample(5, seed=1)
    pixels = decode_values(model, sampled.values)
    assert (pixels == quantize(sampled.x).numpy()).all()
    assert (decode_values(model, sampled.values[:2]) == pixels[:2]).all()


def test_a_prior_that_cannot_answer_says_so() -> None:
    class Holder(torch.nn.Module):
        def __init__(self, prior: torch.nn.Module) -> None:
            super().__init__()
            self.prior = prior

    class Vague(torch.nn.Module):
        def forward(self) -> float:
            return math.nan

    flow = Holder(FlowPrior(TensorTrainPrior(LABELLED, rank=2)))
    assert exact_prior(flow).sites == tuple(LABELLED)
    with pytest.raises(UsageError, match="behind a flow"):
        closed(exact_prior(flow))
    turned, value = (
        FlowPrior(TensorTrainPrior(LABELLED, rank=2), LinearMap(2)),
        torch.tensor([0.3, -0.2, 1.0]),
    )
    assert closed(exact_prior(Holder(turned))).log_prob(value) == turned.base().log_prob(value)
    with pytest.raises(UsageError, match="latents approximately"):
        exact_prior(Holder(Vague()))
    with pytest.raises(CapabilityError, match="HasPrior"):
        exact_prior(torch.nn.Linear(1, 1))
