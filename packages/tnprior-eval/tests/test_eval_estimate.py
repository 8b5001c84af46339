"""Intervals and means against scipy and closed forms."""

import math
import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tnprior_eval import Estimate, EvalError, mean_estimate, proportion, wilson_interval
from tnprior_eval.clustered import clustered_mean
from tnprior_eval.estimate import normal_quantile


@given(n=st.integers(1, 3000), data=st.data(), level=st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_wilson_agrees_with_scipy(n, data, level):
    hits = data.draw(st.integers(0, n))
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(hits, n).proportion_ci(confidence_level=level, method="wilson")
    interval = wilson_interval(hits / n, n, level=level)
    assert interval.low == pytest.approx(expected.low, abs=1e-12)
    assert interval.high == pytest.approx(expected.high, abs=1e-12)


def test_nothing_tried_says_nothing():
    estimate = proportion(0, 0)
    assert math.isnan(estimate.value)
    assert (estimate.interval.low, estimate.interval.high) == (0.0, 1.0)


def test_impossible_counts_and_levels_are_refused():
    with pytest.raises(EvalError, match="between 0 and n=3 hits, received 4"):
        proportion(4, 3)
    with pytest.raises(EvalError, match="confidence level between 0 and 1, received 95"):
        normal_quantile(95)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50))
def test_mean_estimate_is_the_mean_in_any_order(values):
    estimate = mean_estimate(values)
    assert estimate == mean_estimate(sorted(values))
    assert estimate.value == pytest.approx(sum(values) / len(values), rel=1e-9, abs=1e-6)
    stats = pytest.importorskip("scipy.stats")
    assert estimate.standard_error == pytest.approx(stats.sem(values), rel=1e-9, abs=1e-9)


def test_mean_of_infinite_values_stays_infinite_and_has_no_interval():
    assert mean_estimate([-math.inf, 1.0]) == Estimate(-math.inf, 2)
    assert math.isnan(mean_estimate([-math.inf, math.inf]).value)


def test_clustered_error_is_that_of_independent_samples():
    values = torch.tensor([[1.0, 3.0], [2.0, 2.0], [5.0, 9.0], [0.0, 2.0]], dtype=torch.float64)
    full = clustered_mean(values, torch.ones(4, 2, dtype=torch.bool), level=0.95)
    by_sample = values.mean(dim=1).tolist()
    assert full.value == pytest.approx(3.0)
    assert full.standard_error == pytest.approx(statistics.stdev(by_sample) / 2)


def test_clustered_mean_never_looks_at_unused_cells():
    values = torch.tensor([[1.0, math.nan], [math.nan, 3.0]], dtype=torch.float64)
    used = torch.tensor([[True, False], [False, True]])
    assert clustered_mean(values, used, level=0.95).value == 2.0
    assert math.isnan(clustered_mean(values, torch.zeros_like(used), level=0.95).value)


def test_clustered_error_covers_the_truth_as_often_as_it_says():
    generator = torch.Generator().manual_seed(0)
    covered = 0
    for _ in range(300):
        shared = torch.randn(100, 1, generator=generator, dtype=torch.float64)
        values = shared + 0.3 * torch.randn(100, 5, generator=generator, dtype=torch.float64)
        used = torch.rand(100, 5, generator=generator) < 0.7
        interval = clustered_mean(values, used, level=0.9).interval
        covered += interval.low <= 0.0 <= interval.high
    assert 0.85 <= covered / 300 <= 0.95  # pairs taken as independent would cover about 0.6
