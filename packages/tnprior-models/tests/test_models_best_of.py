"""The best of several objects: which one is kept, of a model whose readings are known.

Every family that reads attributes keeps those it reads best: see the conformance suite.
"""

import pytest
import torch
from torch import nn

from tnprior_core import Categorical, Gaussian, Likelihood, Not, OneOf, TensorTrainPrior, TnpriorError
from tnprior_models import BestOf, CapabilityError, ImplicitModel, ModelError, Sampled
from tnprior_models.nets import DenseGenerator

SITES = [
    Categorical("hat"),
    Gaussian("z0", 3),
    Categorical("hair", ("dark", "fair", "red")),
    Gaussian("z1", 3),
]
TRIES = 4


class Plain(nn.Module):
    """Objects are their own site values, and the two latents tell what is read in them."""

    def __init__(self):
        super().__init__()
        self.prior = TensorTrainPrior(SITES, rank=3)

    def sample(self, n, given=None, seed=None, first=0):
        conditioned = self.prior().condition(dict(given or {}))
        values = conditioned.sample((n,), seed=seed, first=first)
        return Sampled(values[..., None, None], values, conditioned.log_evidence)

    def impute(self, x, codes, observed):
        z0, z1 = x[:, 1, 0, 0], x[:, 3, 0, 0]
        hair = torch.stack([z0, z1, 0 * z0], 1).softmax(1)
        return [torch.stack([z0 < 0, z0 >= 0], 1).float(), hair]  # no doubt about hats


CONDITIONS = {
    "label": ({"hair": "red"}, lambda hat, hair: hair[..., 2]),
    "label without doubt": ({"hat": "1"}, lambda hat, hair: hat[..., 1]),
    "set and negation": (
        {"hat": Not("1"), "hair": OneOf("dark", "red")},
        lambda hat, hair: hat[..., 0] * (hair[..., 0] + hair[..., 2]),
    ),
    "likelihood": (
        {"hair": Likelihood([0.2, 0.1, 0.7])},
        lambda hat, hair: hair @ torch.tensor([0.2, 0.1, 0.7]),
    ),
    "label and latent": ({"hair": "fair", "z0": 0.5}, lambda hat, hair: hair[..., 1]),
    "one per row": (
        {"hat": ["1", None, "0"], "hair": Not("red")},
        lambda hat, hair: (
            torch.stack([hat[:, 0, 1], torch.ones(len(hat)), hat[:, 2, 0]], 1) * (1 - hair[..., 2])
        ),
    ),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_the_one_that_is_read_best_is_kept(name):
    model, (given, probability) = Plain(), CONDITIONS[name]
    drawn, kept = model.sample(50 * TRIES, given, seed=1), BestOf(model, TRIES).sample(50, given, seed=1)
    tables = model.impute(drawn.values.view(-1, len(SITES), 1, 1), None, None)
    met = probability(*(table.unflatten(0, drawn.values.shape[:-1]) for table in tables))
    met, tries = met.unflatten(0, (50, TRIES)), drawn.values.unflatten(0, (50, TRIES))
    at = (tries == kept.values.unsqueeze(1)).all(-1).int().argmax(1, keepdim=True)
    assert torch.equal(tries.gather(1, at.unsqueeze(-1).expand(*at.shape, len(SITES)))[:, 0], kept.values)
    assert torch.equal(kept.x[..., 0, 0], kept.values)
    torch.testing.assert_close(met.gather(1, at)[:, 0], met.amax(1))
    assert (met[:, 0] < met.amax(1)).any()


@pytest.mark.parametrize("given", [{"hair": "red"}, {"hat": ["1", None, "0"]}])
def test_an_object_depends_on_the_seed_and_its_number_alone(given):
    best = BestOf(Plain(), TRIES)
    whole, part = best.sample(70, given, seed=3), best.sample(3, given, seed=3, first=40)
    assert torch.equal(whole.values[40:43], part.values)


@pytest.mark.parametrize(("tries", "given"), [(1, {"hat": "1"}), (3, None), (3, {"z0": 0.5})])
def test_without_a_choice_the_model_is_asked_as_it_is(tries, given):
    model = Plain()
    kept = BestOf(model, tries).sample(5, given, seed=0, first=2)
    drawn = model.sample(5, given, seed=0, first=2)
    assert all(torch.equal(*pair) for pair in zip(kept, drawn, strict=True))


@pytest.mark.parametrize("given", [{"hat": "1"}, {"hat": ["1", "0"]}])
def test_of_none_there_is_none(given):
    kept, drawn = (model.sample(0, given, seed=0) for model in (BestOf(Plain(), TRIES), Plain()))
    assert (kept.x.shape, kept.values.shape) == (drawn.x.shape, drawn.values.shape)


def test_what_cannot_be_is_refused():
    with pytest.raises(ModelError, match="at least one try"):
        BestOf(Plain(), 0)
    with pytest.raises(CapabilityError, match="impute"):
        BestOf(ImplicitModel(DenseGenerator(2, 2), TensorTrainPrior(SITES, rank=2)), 2)
    with pytest.raises(TnpriorError, match="hut"):
        BestOf(Plain(), 2).sample(2, {"hut": "1"})
