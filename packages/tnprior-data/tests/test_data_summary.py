"""Summaries of data sets, and the embedded digits."""

import math

import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import mutual_info_score

from tnprior_data import Attribute, AttributeTable, Card, Dataset, load, mutual_information, summary


def test_mutual_information_is_that_of_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in ((2, 2), (3, 7), (1, 4)):
        counts = torch.randint(0, 20, shape, generator=generator).double()
        assert mutual_information(counts) == pytest.approx(
            mutual_info_score(None, None, contingency=counts.numpy()), abs=1e-12
        )


def test_mutual_information_of_the_extremes() -> None:
    assert mutual_information(torch.ones(4, 5, dtype=torch.float64)) == 0
    assert mutual_information(torch.zeros(2, 2, dtype=torch.float64)) == 0
    assert mutual_information(torch.eye(5, dtype=torch.float64)) == pytest.approx(math.log(5))


def test_dependence_counts_only_rows_where_both_are_observed() -> None:
    binary = tuple(Attribute(name, ("0", "1")) for name in "abc")
    a = torch.tensor([0, 1, 0, 1, 1, 0])
    codes = torch.stack((a, a, torch.tensor([0, 0, 1, 1, 0, 1])), dim=1)
    observed = torch.ones(6, 3, dtype=torch.bool)
    observed[4:, 1] = False
    table = AttributeTable(tuple("uvwxyz"), binary, codes, observed)
    ds = Dataset(
        Card("toy", "", "", "", binary), "train", torch.zeros(6, 1, 2, 2, dtype=torch.uint8), table, observed
    )
    first = summary(ds).dependences[0]
    assert (first.first, first.second, first.n) == ("a", "b", 4)
    assert first.nats == pytest.approx(math.log(2))
    assert {(d.first, d.second) for d in summary(ds).dependences} == {("a", "b"), ("a", "c"), ("b", "c")}
    assert summary(ds.subset([])).attributes[0].counts == {"0": 0, "1": 0}


def test_digits_are_those_of_scikit_learn_split_by_class() -> None:
    images, targets = load_digits(return_X_y=True)
    train, test = load("digits"), load("digits", split="test", seed=5)
    ours = torch.cat((train.x, test.x)).flatten(1).double() / 255 * 16
    theirs = torch.from_numpy(images)
    assert torch.allclose(ours.sort(0).values, theirs.sort(0).values, atol=0.04)
    for digit in range(10):
        total = int((targets == digit).sum())
        assert int((test.codes == digit).sum()) == round(total / 5)
        assert int((train.codes == digit).sum()) == total - round(total / 5)
    assert torch.equal(load("digits", seed=1).x, train.x)
