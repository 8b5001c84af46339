"""Accuracy and violation rates: counts by hand, scikit-learn, coverage by simulation, any split the same."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tnprior_eval import (
    Accuracy,
    ConditionViolation,
    ShapeError,
    accuracy,
    broken_requests,
    condition_violation,
    wilson_interval,
)

NAMES = ("male", "hat", "digit")


def table(n, seed):
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, 3, (n, 3), generator=generator)
    wrong = torch.rand(n, 3, generator=generator) < torch.rand(n, 1, generator=generator)
    answers = torch.where(wrong, (codes + 1) % 3, codes)
    observed = torch.rand(n, 3, generator=generator) < 0.7
    return answers, codes, observed


def cut(n, seed):
    """Random consecutive pieces, some of them empty."""
    points = torch.randint(0, n + 1, (3,), generator=torch.Generator().manual_seed(seed)).sort().values
    return torch.tensor_split(torch.arange(n), points.tolist())


def test_accuracy_agrees_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    answers, codes, observed = table(400, 0)
    result = accuracy(answers, codes, observed, NAMES)
    for a, name in enumerate(NAMES):
        seen = observed[:, a]
        expected = metrics.accuracy_score(codes[seen, a].tolist(), answers[seen, a].tolist())
        assert result.attributes[name].value == pytest.approx(expected, abs=1e-15)
        assert result.attributes[name].n == int(seen.sum())
        assert result.attributes[name].interval == wilson_interval(expected, int(seen.sum()))
    expected = metrics.accuracy_score(codes[observed].tolist(), answers[observed].tolist())
    assert result.overall.value == pytest.approx(expected)
    assert result.mean.value == pytest.approx(sum(e.value for e in result.attributes.values()) / 3)


@settings(max_examples=30)
@given(n=st.integers(0, 60), seed=st.integers(0, 10_000))
def test_any_split_and_order_give_the_same_bits(n, seed):
    answers, codes, observed = table(n, seed)
    whole = accuracy(answers, codes, observed, NAMES)
    parts = [Accuracy(NAMES), Accuracy(NAMES)]
    for turn, index in enumerate(cut(n, seed)):
        index = index.flip(0)
        parts[turn % 2].update(answers[index], codes[index], observed[index])
    parts[1].merge(parts[0])
    assert repr(parts[1].compute()) == repr(whole)


def test_one_attribute_has_the_plain_wilson_interval():
    answers = torch.tensor([[1]] * 8 + [[0]] * 2)
    result = accuracy(answers, torch.ones_like(answers), torch.ones(10, 1, dtype=torch.bool), ["hat"])
    assert result.overall.interval == wilson_interval(0.8, 10)
    assert [row.name for row in result.rows()] == ["accuracy"]


def test_dependent_attributes_count_as_one_trial():
    right = torch.tensor([[1]] * 80 + [[0]] * 20).expand(-1, 4)
    result = accuracy(right, torch.ones_like(right), torch.ones(100, 4, dtype=torch.bool), list("abcd"))
    expected = wilson_interval(0.8, 99)  # 100 samples, one degree of freedom for the mean
    assert result.overall.n == 400
    assert result.overall.interval.low == pytest.approx(expected.low)
    assert result.overall.interval.high == pytest.approx(expected.high)


def test_intervals_cover_the_truth_as_often_as_they_say():
    generator = torch.Generator().manual_seed(1)
    inside = {"overall": 0, "mean": 0}
    for _ in range(200):
        skill = torch.rand(
            60, 1, generator=generator
        )  # attributes of a sample succeed together; truth is 1/2
        right = (torch.rand(60, 4, generator=generator) < skill).long()
        observed = torch.rand(60, 4, generator=generator) < 0.6
        result = accuracy(right, torch.ones_like(right), observed, list("abcd"), level=0.9)
        for name in inside:
            interval = getattr(result, name).interval
            inside[name] += interval.low <= 0.5 <= interval.high
    assert 0.86 <= inside["overall"] / 200 <= 0.94
    assert 0.85 <= inside["mean"] / 200 <= 0.94


def test_all_right_is_no_certainty():
    codes = torch.zeros(50, 3, dtype=torch.int64)
    result = accuracy(codes, codes, torch.ones(50, 3, dtype=torch.bool), NAMES)
    assert result.overall.interval.low == wilson_interval(1.0, 50).low
    assert result.mean.interval.low == wilson_interval(1.0, 50).low


def test_nothing_observed_is_nan():
    codes = torch.zeros(5, 3, dtype=torch.int64)
    result = accuracy(codes, codes, torch.zeros(5, 3, dtype=torch.bool), NAMES)
    assert math.isnan(result.overall.value)
    assert math.isnan(result.mean.value)
    assert result.samples == 0


def test_wrong_tables_are_named():
    codes = torch.zeros(5, 3, dtype=torch.int64)
    seen = torch.ones(5, 3, dtype=torch.bool)
    with pytest.raises(ShapeError, match=r"answers of shape \(n, 3\), received \(5, 2\)"):
        accuracy(codes[:, :2], codes, seen, NAMES)
    with pytest.raises(ShapeError, match=r"answers to hold integer codes, received torch\.float32"):
        accuracy(codes.float(), codes, seen, NAMES)
    with pytest.raises(ShapeError, match=r"observed to be boolean, received torch\.int64"):
        accuracy(codes, codes, codes, NAMES)
    with pytest.raises(ShapeError, match=r"one length, received .'answers': 4, 'codes': 5, 'observed': 5."):
        accuracy(codes[:4], codes, seen, NAMES)
    with pytest.raises(ShapeError, match="different attribute names"):
        Accuracy(["hat", "hat"])
    with pytest.raises(ShapeError, match="expected counts of"):
        Accuracy(["hat"]).merge(Accuracy(["male"]))


def test_violation_rates_by_hand():
    codes = torch.zeros(4, 3, dtype=torch.int64)
    answers = torch.tensor([[0, 0, 0], [1, 0, 2], [1, 1, 1], [0, 2, 0]])
    requested = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 0, 0], [0, 1, 1]], dtype=torch.bool)
    result = condition_violation(answers, codes, requested, NAMES)
    assert result.overall.value == pytest.approx(2 / 7)
    assert result.any_violated.value == pytest.approx(2 / 3)  # the sample without requests does not count
    assert [result.attributes[name].value for name in NAMES] == pytest.approx([1 / 2, 1 / 3, 0.0])
    assert [(c.given, c.pairs.n, c.pairs.value, c.any_violated.value) for c in result.by_given] == [
        (2, 4, 0.5, 1.0),
        (3, 3, 0.0, 0.0),
    ]
    two, three = result.by_given
    assert [two.attributes[name].n for name in NAMES] == [1, 2, 1]
    assert [two.attributes[name].value for name in NAMES] == [1.0, 0.5, 0.0]
    assert all(three.attributes[name].value == 0.0 for name in NAMES)


def test_violation_is_one_minus_accuracy_of_the_requested():
    answers, codes, requested = table(300, 3)
    right = accuracy(answers, codes, requested, NAMES)
    wrong = condition_violation(answers, codes, requested, NAMES)
    assert wrong.overall.value == pytest.approx(1 - right.overall.value)
    assert wrong.overall.interval.low == pytest.approx(1 - right.overall.interval.high)
    assert wrong.overall.standard_error == pytest.approx(right.overall.standard_error)


@settings(max_examples=30)
@given(n=st.integers(0, 60), seed=st.integers(0, 10_000))
def test_violations_do_not_depend_on_the_split(n, seed):
    answers, codes, requested = table(n, seed)
    whole = condition_violation(answers, codes, requested, NAMES)
    parts = [ConditionViolation(NAMES), ConditionViolation(NAMES)]
    for turn, index in enumerate(cut(n, seed)):
        parts[turn % 2].update((answers != codes)[index], requested[index])
    parts[1].merge(parts[0])
    assert repr(parts[1].compute()) == repr(whole)
    for name, estimate in whole.attributes.items():
        assert sum(count.attributes[name].n for count in whole.by_given) == estimate.n


def test_sets_and_negations():
    answers = torch.tensor([[3, 0], [7, 1], [5, 1]])
    three_or_five = torch.tensor([code in (3, 5) for code in range(10)])
    not_one_each = torch.tensor([[True, False], [True, False], [True, True]])
    violated, requested = broken_requests(answers, [three_or_five, not_one_each])
    assert violated.tolist() == [[False, False], [True, True], [False, False]]
    assert bool(requested.all())
    assert broken_requests(answers, [None, None])[1].any().item() is False
