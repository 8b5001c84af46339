"""Labels read off objects, and the best of several, of every family that can."""

from functools import partial

import pytest
import torch
from families import TRAINED, built

from tnprior_core import OneOf
from tnprior_models import BestOf, ReadsLabels


@pytest.fixture(params=TRAINED)
def make(request):
    return partial(built, TRAINED, request.param)


def labels_read(model, x):
    """What the model sees in each object by itself, attribute by attribute."""
    if isinstance(model, ReadsLabels):
        return model.read_labels(x)
    none = torch.zeros(len(x), 2, dtype=torch.long)
    return model.impute(x, none, none.bool())


def test_labels_are_read_off_every_object_by_itself(make):
    model = make()
    x = model.sample(7, seed=2).x
    together, alone = labels_read(model, x), [labels_read(model, x[i : i + 1]) for i in range(7)]
    for column, found in enumerate(together):
        assert found.shape == (7, (2, 3)[column])
        assert (found >= 0).all()
        torch.testing.assert_close(found, torch.cat([one[column] for one in alone]))
    assert [tuple(found.shape) for found in labels_read(model, x[:0])] == [(0, 2), (0, 3)]


def test_the_best_of_several_is_the_one_that_the_model_reads_best(make):
    model, given = make(), {"hat": ["yes", None, "no"], "digit": OneOf("a", "c")}
    drawn, kept = model.sample(6 * 4, given, seed=1), BestOf(model, 4).sample(6, given, seed=1)
    read = [labels_read(model, x) for x in drawn.x]
    hats = [torch.stack([hat[0, 1], hat.new_ones(()), hat[2, 0]]) for hat, _ in read]
    met = torch.stack([hat * digit[:, [0, 2]].sum(1) for hat, (_, digit) in zip(hats, read, strict=True)])
    met, tries, found = met.view(6, 4, 3), drawn.values.unflatten(0, (6, 4)), kept.values.unsqueeze(1)
    at = (tries == found).all(-1).int().argmax(1, keepdim=True)
    assert torch.equal(tries.gather(1, at.unsqueeze(-1).expand(-1, -1, -1, found.shape[-1])), found)
    torch.testing.assert_close(met.gather(1, at)[:, 0], met.amax(1))
    assert kept.x.shape == (6, *drawn.x.shape[1:])
