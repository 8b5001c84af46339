"""The real model, with its prior refitted, its weights averaged and a weight that rises, resumes to the bit."""

import signal

import pytest
import torch

from tnprior_core import Categorical, Gaussian, TensorTrainPrior
from tnprior_models import (
    VAE,
    Bernoulli,
    Callback,
    ConvDecoder,
    ConvEncoder,
    Polish,
    RefitSchedule,
    TrainConfig,
    Trainer,
    TrainingInterrupted,
    load_training_state,
    load_weights,
    refit_prior,
)
from tnprior_models.checkpoint.tree import flatten
from tnprior_models.training import Cosine, Refit, TensorData

SHAPE, LATENT = (1, 8, 8), 3


class StopAt(Callback):
    def __init__(self, step):
        self.step = step

    def after_step(self, run):
        if run.progress.step == self.step:
            signal.raise_signal(signal.SIGINT)


def model(seed):
    torch.manual_seed(seed)
    sites = [Gaussian(f"z{i}", components=3) for i in range(LATENT)] + [Categorical("hat", ("0", "1"))]
    nets = (ConvEncoder(SHAPE, latent_size=LATENT, width=2), ConvDecoder(SHAPE, latent_size=LATENT, width=2))
    return VAE(*nets, TensorTrainPrior(sites, rank=3), Bernoulli(), kl_warmup=8)


def data(count, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 256, (count, *SHAPE), generator=generator, dtype=torch.uint8)
    codes = torch.randint(0, 2, (count, 1), generator=generator)
    return TensorData(x, codes, torch.rand(count, 1, generator=generator) < 0.7)


def refit(run):
    return refit_prior(run.model, run.data.x, run.data.codes, run.data.observed, polish=Polish(steps=2))


def trainer(directory, seed, *callbacks, bf16):
    settings = TrainConfig(
        epochs=3, batch_size=16, ema_decay=0.9, clip_norm=5.0, schedule=Cosine(), bf16=bf16, accumulate=2
    )
    hooks = [Refit(refit, RefitSchedule(first=1, every=1).due), *callbacks]
    return Trainer(model(seed), settings, data(64, 0), directory, hooks, validation=data(16, 1))


@pytest.mark.parametrize("bf16", [False, True])
def test_a_vae_resumes_to_the_bit(tmp_path, bf16):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    trainer(whole, 0, bf16=bf16).fit()
    for seed, step in ((0, 3), (7, 8)):
        with pytest.raises(TrainingInterrupted, match=f"step {step}:"):
            trainer(stopped, seed, StopAt(step), bf16=bf16).resume()
    trainer(stopped, 9, bf16=bf16).resume()
    one, two = (
        flatten(load_training_state(run / "checkpoints" / "last")["learner"])[1] for run in (whole, stopped)
    )
    assert one.keys() == two.keys()
    assert [name for name, tensor in one.items() if not torch.equal(tensor, two[name])] == []
    assert load_weights(whole / "model.safetensors", model(5))["training"]["epoch"] > 0


def test_validation_is_of_the_whole_objective_while_a_weight_rises(tmp_path):
    lines: list[dict[str, float]] = []

    class Heard(Callback):
        def after_epoch(self, run):
            lines.append(dict(run.metrics))

    trainer(tmp_path / "run", 0, Heard(), bf16=False).fit()
    first, _, last = lines
    terms = ("log_likelihood", "log_prior", "entropy")
    assert first["bound/loss"] < -first["bound/bound"] - 0.01  # a part of the divergence is left out
    assert last["bound/loss"] == pytest.approx(-last["bound/bound"], abs=1e-4)
    for line in lines:
        assert line["validation/bound/bound"] == pytest.approx(
            sum(line[f"validation/bound/{t}"] for t in terms)
        )
        assert line["validation/bound/loss"] == pytest.approx(-line["validation/bound/bound"])
