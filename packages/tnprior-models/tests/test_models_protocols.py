"""What a model can do is asked by protocol; what it cannot do is a clear error."""

import pytest
import torch
from torch import nn

from tnprior_core import TnpriorError
from tnprior_models import (
    BoundsLikelihood,
    CapabilityError,
    Decodes,
    HasPrior,
    Imputes,
    ModelError,
    Objective,
    Reconstructs,
    Samples,
    Trains,
    abilities,
    require,
)


class Mirror(nn.Module):
    """A model that can do one thing."""

    def reconstruct(self, x):
        return x


def test_require_returns_the_model_itself():
    mirror = Mirror()
    assert require(mirror, Reconstructs) is mirror


@pytest.mark.parametrize("protocol", [Samples, Imputes, BoundsLikelihood, Decodes, HasPrior, Trains])
def test_require_names_the_wish_and_what_the_model_can_do(protocol):
    with pytest.raises(CapabilityError, match=f"satisfies {protocol.__name__} .*Mirror.*Reconstructs"):
        require(Mirror(), protocol)


def test_abilities_of_an_empty_object():
    assert abilities(object()) == ()


def test_errors_have_the_one_base():
    assert issubclass(CapabilityError, ModelError)
    assert issubclass(ModelError, TnpriorError)


def loss(batch):
    return {"loss": torch.zeros(())}


def test_objective_lists_tensors_of_groups_and_builds_their_optimiser():
    a, b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(3))
    groups = [{"params": [a], "lr": 0.1}, {"params": [b], "lr": 0.2}]
    objective = Objective("both", groups, loss, torch.optim.SGD)
    assert list(objective.tensors()) == [a, b]
    optimizer = objective.build_optimizer()
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.2]
    optimizer.param_groups[0]["lr"] = 9.0
    assert objective.build_optimizer().param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "with a name"),
        ({"parameters": []}, "at least one parameter"),
        ({"parameters": [{"params": []}]}, "at least one parameter"),
        ({"every": 0}, "every >= 1, received 0"),
    ],
)
def test_an_objective_that_cannot_be_stepped_is_refused(change, message):
    settings = {
        "name": "x",
        "parameters": [nn.Parameter(torch.zeros(1))],
        "loss": loss,
        "optimizer": torch.optim.SGD,
    }
    with pytest.raises(ModelError, match=message):
        Objective(**{**settings, **change})
