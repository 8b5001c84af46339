"""Entropy of answers against scipy and known distributions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tnprior_eval import Diversity, ShapeError, entropy_of_counts


def entropy(p):
    return -sum(q * math.log(q) for q in p if q)


@given(st.lists(st.integers(0, 40), min_size=2, max_size=8).filter(any))
def test_plug_in_agrees_with_scipy(counts):
    expected = pytest.importorskip("scipy.stats").entropy(counts)
    found = entropy_of_counts(counts, maximum=math.log(len(counts)))
    assert found.plug_in == pytest.approx(expected, abs=1e-12)
    assert found.states == sum(1 for count in counts if count)
    assert 0 <= found.entropy.value <= math.log(len(counts)) + 1e-12
    assert found.entropy.interval.low <= found.entropy.interval.high


def test_correction_and_interval_on_a_known_distribution():
    p = torch.tensor([0.4, 0.3, 0.2, 0.05, 0.05], dtype=torch.float64)
    truth, generator = entropy(p.tolist()), torch.Generator().manual_seed(0)
    plug_in, corrected, covered = [], [], 0
    for _ in range(400):
        counts = torch.bincount(
            torch.multinomial(p.cpu(), 60, replacement=True, generator=generator), minlength=5
        )
        found = entropy_of_counts(counts.tolist(), maximum=math.log(5), level=0.9)
        plug_in.append(found.plug_in)
        corrected.append(found.entropy.value)
        covered += found.entropy.interval.low <= truth <= found.entropy.interval.high
    assert abs(sum(corrected) / 400 - truth) < 0.4 * abs(sum(plug_in) / 400 - truth)
    assert 0.83 <= covered / 400 <= 0.95


def test_one_answer_only_is_no_proof_of_zero():
    found = entropy_of_counts([20, 0], maximum=math.log(2))
    assert found.entropy.value == 0.0
    assert 0.1 < found.entropy.interval.high < math.log(2)
    assert math.isnan(entropy_of_counts([0, 0], maximum=1.0).plug_in)


def test_joint_entropy_sees_what_single_ones_do_not():
    metric = Diversity(["a", "b"], [2, 2], model={"a": math.log(2), "joint": math.log(2)})
    metric.update(torch.tensor([[0, 0], [1, 1]]).repeat(500, 1))
    result = metric.compute()
    assert result.attributes["a"].plug_in == pytest.approx(math.log(2))
    assert result.joint.plug_in == pytest.approx(math.log(2))
    assert result.joint.maximum == pytest.approx(2 * math.log(2))
    assert result.frequencies == {"a": (0.5, 0.5), "b": (0.5, 0.5)}
    assert [row.name for row in result.rows()] == [
        "diversity/joint",
        "diversity/joint/model",
        "diversity/mean",
        "diversity/a",
        "diversity/a/model",
        "diversity/b",
    ]


@settings(max_examples=30)
@given(n=st.integers(1, 60), seed=st.integers(0, 1000))
def test_any_split_and_order_give_the_same_bits(n, seed):
    answers = torch.randint(0, 3, (n, 2), generator=torch.Generator().manual_seed(seed))
    whole, left, right = (Diversity(["a", "b"], [3, 4]) for _ in range(3))
    whole.update(answers)
    left.update(answers.flip(0)[: n // 3])
    right.update(answers.flip(0)[n // 3 :])
    left.merge(right)
    assert repr(left.compute()) == repr(whole.compute())


def test_coverage_warns_of_undersampling():
    metric = Diversity(list("abcdefghij"), [2] * 10)
    metric.update(torch.randint(0, 2, (50, 10), generator=torch.Generator().manual_seed(0)))
    assert metric.compute().joint.coverage < 0.2


def test_wrong_answers_are_refused():
    metric = Diversity(["a"], [2])
    with pytest.raises(ShapeError, match=r"answers\[1, 0\] between 0 and 1, received 2"):
        metric.update(torch.tensor([[0], [2]]))
    with pytest.raises(ShapeError, match="label counts of 1 attributes, received 2"):
        Diversity(["a"], [2, 2])
    with pytest.raises(ShapeError, match=r"received \['c'\] besides"):
        Diversity(["a"], [2], model={"c": 0.1})
    with pytest.raises(ShapeError, match="expected answers on"):
        metric.merge(Diversity(["b"], [2]))


def test_the_mean_over_attributes_covers_the_truth_though_the_answers_depend_on_each_other():
    table = torch.tensor([0.35, 0.05, 0.1, 0.5], dtype=torch.float64)  # of (a, b): 00, 01, 10, 11
    truth = (entropy([0.4, 0.6]) + entropy([0.45, 0.55])) / 2
    generator, covered, found = torch.Generator().manual_seed(0), 0, []
    for _ in range(300):
        drawn = torch.multinomial(table.cpu(), 80, replacement=True, generator=generator)
        metric = Diversity(["a", "b"], [2, 2], model={"a": 0.25, "b": 0.75}, level=0.9)
        metric.update(torch.stack([drawn // 2, drawn % 2], dim=1))
        result = metric.compute()
        found.append(result.mean.value)
        covered += result.mean.interval.low <= truth <= result.mean.interval.high
    assert sum(found) / 300 == pytest.approx(truth, abs=3e-3)
    assert 0.8 <= covered / 300 <= 0.97
    assert result.mean_model == 0.5
    names = [row.name for row in result.rows()]
    assert names.index("diversity/mean/model") == names.index("diversity/mean") + 1
