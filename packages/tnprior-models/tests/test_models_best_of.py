"""The best of several objects: which one is kept, whatever the condition, the batch and the family."""

import pytest
import torch
from torch import nn

from tnprior_core import Categorical, Gaussian, Not, OneOf, TensorTrainPrior, TnpriorError
from tnprior_models import CVAE, VAE, Bernoulli, BestOf, CapabilityError, ImplicitModel, ModelError, Sampled
from tnprior_models.nets import (
    ConvDecoder,
    ConvEncoder,
    ConvFeatures,
    DenseGenerator,
    DenseHead,
    LabelledCode,
)

SHAPE, TRIES = (1, 8, 8), 4
SITES = [
    Categorical("hat"),
    Gaussian("z0", 3),
    Categorical("hair", ("dark", "fair", "red")),
    Gaussian("z1", 3),
]


def vae() -> VAE:
    torch.manual_seed(0)
    nets = [net(SHAPE, latent_size=2, width=8, hidden=16) for net in (ConvEncoder, ConvDecoder)]
    return VAE(*nets, TensorTrainPrior(SITES, rank=3), Bernoulli())


def cvae() -> CVAE:
    torch.manual_seed(0)
    trunk = ConvFeatures(SHAPE, width=8)
    return CVAE(
        trunk,
        DenseHead(trunk.size, 5, hidden=16),
        LabelledCode(trunk.size, 5, 2, hidden=16),
        ConvDecoder(SHAPE, 2 + 5, width=8, hidden=16),
        TensorTrainPrior(SITES, rank=3),
        Bernoulli(),
    )


def read(model, x):
    """p(hat | x) and p(hair | x) of every object."""
    codes = torch.zeros(len(x), 2, dtype=torch.long)
    return model.impute(x, codes, codes.bool())


CONDITIONS = {
    "label": ({"hat": "1"}, lambda hat, hair: hat[:, 1]),
    "set and negation": (
        {"hat": Not("1"), "hair": OneOf("dark", "red")},
        lambda hat, hair: hat[:, 0] * hair[:, [0, 2]].sum(1),
    ),
    "label and latent": ({"hair": "fair", "z0": 0.5}, lambda hat, hair: hair[:, 1]),
    "one per row": (
        {"hat": ["1", None, "0"], "hair": Not("red")},
        lambda hat, hair: torch.stack([hat[0, 1], torch.ones(()), hat[2, 0]]) * hair[:, :2].sum(1),
    ),
}


@pytest.mark.parametrize("family", [vae, cvae])
@pytest.mark.parametrize("name", CONDITIONS)
def test_the_one_that_is_read_best_is_kept(family, name):
    model, (given, probability) = family(), CONDITIONS[name]
    drawn = model.sample(6 * TRIES, given, seed=1)
    if drawn.values.dim() == 2:
        met = probability(*read(model, drawn.x))
    else:
        met = torch.stack([probability(*read(model, x)) for x in drawn.x])
    kept = BestOf(model, TRIES).sample(6, given, seed=1)
    assert torch.equal(kept.log_evidence, drawn.log_evidence)
    assert kept.x.shape == (6, *drawn.x.shape[1:])
    met, tries = met.unflatten(0, (6, TRIES)), drawn.values.unflatten(0, (6, TRIES))
    at = (kept.values.unsqueeze(1) == tries).all(-1).int().argmax(1, keepdim=True)
    assert torch.equal(tries.gather(1, at.unsqueeze(-1).expand(-1, -1, *tries.shape[2:]))[:, 0], kept.values)
    torch.testing.assert_close(met.gather(1, at)[:, 0], met.amax(1), rtol=1e-5, atol=1e-7)


def test_objects_are_those_of_the_values():
    model = vae()
    kept = BestOf(model, TRIES).sample(5, {"hat": "1"}, seed=0)
    torch.testing.assert_close(model.decode_values(kept.values), kept.x)


@pytest.mark.parametrize("given", [{"hair": "red"}, {"hat": ["1", None, "0"]}])
def test_an_object_depends_on_the_seed_and_its_number_alone(given):
    best = BestOf(vae(), TRIES)
    whole, part = best.sample(70, given, seed=3), best.sample(3, given, seed=3, first=40)
    assert torch.equal(whole.x[40:43], part.x)
    assert torch.equal(whole.values[40:43], part.values)


@pytest.mark.parametrize(("tries", "given", "n"), [(1, {"hat": "1"}, 5), (3, None, 5), (3, {"z0": 0.5}, 5)])
def test_without_a_choice_the_model_is_asked_as_it_is(tries, given, n):
    model = vae()
    kept, drawn = (
        BestOf(model, tries).sample(n, given, seed=0, first=2),
        model.sample(n, given, seed=0, first=2),
    )
    assert all(torch.equal(*pair) for pair in zip(kept, drawn, strict=True))


@pytest.mark.parametrize("given", [{"hat": "1"}, {"hat": ["1", "0"]}])
def test_of_none_there_is_none(given):
    kept, drawn = BestOf(vae(), TRIES).sample(0, given, seed=0), vae().sample(0, given, seed=0)
    assert (kept.x.shape, kept.values.shape) == (drawn.x.shape, drawn.values.shape)


class Certain(nn.Module):
    """Reads labels without any doubt in what it draws: objects that show their own hat."""

    def __init__(self):
        super().__init__()
        self.prior = TensorTrainPrior(SITES, rank=3)

    def sample(self, n, given=None, seed=None, first=0):
        values = self.prior().sample((n,), seed=seed, first=first)  # the condition is not minded
        return Sampled(values[:, :1, None, None], values, torch.zeros(()))

    def impute(self, x, codes, observed):
        hat = nn.functional.one_hot(x.flatten().long(), 2).float()
        return [hat, torch.full((len(x), 3), 1 / 3)]


def test_what_is_read_as_impossible_loses():
    model = Certain()
    kept, drawn = BestOf(model, 6).sample(50, {"hat": "1"}, seed=0), model.sample(300, seed=0)
    possible = (drawn.x.flatten() == 1).view(50, 6).any(1)
    assert 0 < possible.sum() <= 50
    assert torch.equal(kept.x.flatten() == 1, possible)


def test_what_cannot_be_is_refused():
    with pytest.raises(ModelError, match="at least one try"):
        BestOf(vae(), 0)
    with pytest.raises(CapabilityError, match="impute"):
        BestOf(ImplicitModel(DenseGenerator(2, 2), TensorTrainPrior(SITES, rank=2)), 2)
    with pytest.raises(TnpriorError, match="hut"):
        BestOf(vae(), 2).sample(2, {"hut": "1"})
