"""Objects for one condition: hits and entropies against counting by hand."""

import math

import pytest
import torch

from tnprior_eval import Diversity, ShapeError, SubsetCondition, vendi_score

NAMES, COUNTS = ["digit", "hat", "male"], [3, 2, 2]
ALLOWED = [torch.tensor([True, False, True]), None, torch.tensor([False, True])]
ANSWERS = torch.tensor([[0, 0, 1], [2, 1, 1], [1, 1, 1], [1, 0, 0]])


def test_hits_are_counted_by_pair_and_by_object():
    metric = SubsetCondition(NAMES, COUNTS, ALLOWED, log_probability=-1.5, model={"hat": 0.6}, label="c")
    metric.update(ANSWERS[:3])
    metric.update(ANSWERS[3:])
    result = metric.compute()
    assert result.hits.value == 5 / 8
    assert result.all_hits.value == 2 / 4
    assert result.free is not None
    values = {row.name: row.estimate.value for row in result.rows()}
    assert values["c/log-p"] == -1.5
    assert values["c/entropy/model"] == 0.6
    assert set(values) == {f"c/{name}" for name in ("log-p", "hits", "all-hits", "entropy", "entropy/model")}


def test_the_free_attributes_are_those_of_diversity():
    metric = SubsetCondition(NAMES, COUNTS, [ALLOWED[0], None, None])
    metric.update(ANSWERS)
    alone = Diversity(["hat", "male"], [2, 2])
    alone.update(ANSWERS[:, 1:])
    found = metric.compute().free
    assert found is not None
    assert found.mean == alone.compute().mean
    assert found.attributes == alone.compute().attributes


def test_nothing_free_and_nothing_known_of_the_model():
    metric = SubsetCondition(["hat"], [2], [torch.tensor([False, True])], log_probability=-math.inf)
    metric.update(torch.tensor([[1], [0]]))
    result = metric.compute()
    assert result.free is None
    assert [row.name for row in result.rows()] == ["condition/hits", "condition/all-hits"]


def test_tables_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="label count and a table"):
        SubsetCondition(NAMES, COUNTS, ALLOWED[:2])
    with pytest.raises(ShapeError):
        SubsetCondition(NAMES, COUNTS, ALLOWED).update(ANSWERS[:, :2])


def test_features_are_scored_about_the_centre():
    features, centre = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.ones(3)
    metric = SubsetCondition(NAMES, COUNTS, ALLOWED, centre=centre)
    assert metric.compute().different is None
    metric.update(ANSWERS[:3], features[:3])
    metric.update(ANSWERS[3:], features[3:])
    found = metric.compute()
    assert found.different is not None
    assert found.different.value == pytest.approx(vendi_score(features, centre=centre))
    assert found.rows()[-1].name == "condition/vendi-score"
    with pytest.raises(ShapeError, match="received a centre alone"):
        metric.update(ANSWERS)
    with pytest.raises(ShapeError, match="received features alone"):
        SubsetCondition(NAMES, COUNTS, ALLOWED).update(ANSWERS, features)
    with pytest.raises(ShapeError, match="expected features of 4 objects"):
        metric.update(ANSWERS, features[:3])
