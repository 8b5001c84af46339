"""The Vendi score against its definition, closed forms, and what it is for: variety, and nothing else."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tnprior_eval import EvalError, ShapeError, VendiScore, vendi_score


def features(n, seed, d=5):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_definition(x):
    """Friedman and Dieng 2023, with the n x n matrix of cosines, in numpy."""
    x = x.numpy() / np.linalg.norm(x.numpy(), axis=1, keepdims=True)
    shares = np.linalg.eigvalsh(x @ x.T / len(x))
    shares = shares[shares > 1e-12]
    return math.exp(-(shares * np.log(shares)).sum())


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 12), d=st.integers(1, 12), seed=st.integers(0, 1000))
def test_it_is_what_the_definition_says(n, d, seed):
    x, centre = features(n, seed, d), features(1, seed + 1, d)[0]
    assert vendi_score(x) == pytest.approx(by_definition(x), rel=1e-8)
    assert vendi_score(x, centre=centre) == pytest.approx(by_definition(x - centre), rel=1e-8)
    assert 1 - 1e-9 <= vendi_score(x) <= min(n, d) + 1e-9


@pytest.mark.parametrize("counts", [(1,), (5, 5), (7, 2, 1), (1, 1, 1, 1)])
def test_kinds_count_by_the_entropy_of_their_shares(counts):
    kinds = torch.eye(4).repeat_interleave(torch.tensor([*counts, *[0] * (4 - len(counts))]), dim=0)
    shares = [count / sum(counts) for count in counts]
    expected = math.exp(-sum(share * math.log(share) for share in shares))
    assert vendi_score(kinds * 3) == pytest.approx(expected)
    assert vendi_score(torch.cat([kinds] * 3)) == pytest.approx(expected)


def test_objects_in_the_centre_are_one_kind():
    assert vendi_score(torch.zeros(6, 3)) == pytest.approx(1.0)
    assert vendi_score(torch.tensor([[0.0, 0.0], [2.0, 0.0]])) == pytest.approx(2.0)


def test_a_generator_of_one_kind_has_a_smaller_score_than_real_objects():
    real = features(400, 0) + 20
    metric = VendiScore(extractor="classifier:1f")
    metric.update(real=real, generated=real[:1] + 0.01 * features(300, 1))
    result = metric.compute()
    assert result.generated.value < 1.1
    assert result.real.value > 4.5
    assert [row.name for row in result.rows()] == ["classifier/vendi-score", "classifier/vendi-score/real"]
    assert result.protocol.extractor == "classifier:1f"
    assert (result.generated.n, result.real.n) == (300, 400)


def test_intervals_hold_what_other_samples_would_show():
    long = torch.tensor([4.0, 2.0, 1.0, 1.0, 1.0])
    scores = [vendi_score(features(200, seed) * long) for seed in range(60)]
    metric = VendiScore(extractor="classifier:1f")
    metric.update(real=features(200, 99) * long, generated=features(200, 100) * long)
    error = metric.compute().generated.standard_error
    assert error == pytest.approx(np.std(scores), rel=0.5)
    alone = VendiScore(extractor="classifier:1f", groups=1)
    alone.update(real=features(9, 0), generated=features(9, 1))
    assert alone.compute().generated.interval is None


def test_batches_do_not_matter():
    real, generated = features(40, 8), features(40, 9)
    left, right, whole = (VendiScore(extractor="classifier:1f") for _ in range(3))
    left.update(real=real[:15], generated=generated)
    right.update(real=real[15:])
    left.merge(right)
    whole.update(real=real, generated=generated)
    assert left.compute() == whole.compute()


def test_bad_input_is_refused():
    with pytest.raises(ShapeError, match="one object or more"):
        vendi_score(torch.zeros(0, 3))
    with pytest.raises(ShapeError):
        vendi_score(torch.tensor([[math.nan]]))
    with pytest.raises(ShapeError):
        vendi_score(torch.zeros(2, 3), centre=torch.zeros(2))
    with pytest.raises(ShapeError, match="real and of generated"):
        VendiScore(extractor="classifier:1f").compute()
    with pytest.raises(EvalError, match="expected features of classifier:1f"):
        VendiScore(extractor="classifier:1f").merge(VendiScore(extractor="classifier:2a"))
    with pytest.raises(EvalError, match="jackknife group"):
        VendiScore(extractor="classifier:1f", groups=0)
