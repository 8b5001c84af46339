"""Kernel distance against torch-fidelity's estimator and the plain double sum."""

import math

import numpy as np
import pytest
import torch

from tnprior_eval import EvalError, KernelDistance, ShapeError, kernel_distance


def features(n, seed, shift=0.0):
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def measured(x, y, **options):
    metric = KernelDistance(extractor="classifier:1f", **options)
    metric.update(real=x, generated=y)
    return metric.compute()


def test_it_is_the_double_sum():
    x, y = features(7, 0), features(5, 1, 0.4)

    def k(a, b):
        return (float(a @ b) / 6 + 1) ** 3

    within = sum(k(x[i], x[j]) for i in range(7) for j in range(7) if i != j) / 42
    within += sum(k(y[i], y[j]) for i in range(5) for j in range(5) if i != j) / 20
    between = sum(k(a, b) for a in x for b in y) / 35
    assert kernel_distance(x, y) == pytest.approx(within - 2 * between, rel=1e-12)
    assert kernel_distance(x, y, chunk=2) == pytest.approx(within - 2 * between, rel=1e-12)


def test_it_is_the_kid_of_torch_fidelity_on_a_single_subset():
    oracle = pytest.importorskip("torch_fidelity.metric_kid").kid_features_to_metric
    x, y = features(80, 2), features(80, 3, 0.2)
    expected = oracle(x, y, kid_subsets=1, kid_subset_size=80, rng_seed=0, verbose=False)
    value = measured(x, y).distance.value
    assert value == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-9)


def test_it_is_unbiased_and_knows_its_error():
    values, errors = [], []
    for seed in range(80):
        estimate = measured(features(60, 2 * seed), features(60, 2 * seed + 1), groups=10).distance
        values.append(estimate.value)
        errors.append(estimate.standard_error)
    spread = float(np.std(values, ddof=1))
    assert abs(np.mean(values)) < 3 * spread / math.sqrt(80)
    assert np.mean(errors) == pytest.approx(
        spread, rel=0.5
    )  # degenerate under equality: only the size is right


def test_error_between_different_distributions():
    values, errors = [], []
    for seed in range(80):
        estimate = measured(features(60, 2 * seed), features(60, 2 * seed + 1, 0.7), groups=10).distance
        values.append(estimate.value)
        errors.append(estimate.standard_error)
    assert np.mean(errors) == pytest.approx(float(np.std(values, ddof=1)), rel=0.3)


def test_batches_and_merging_do_not_matter():
    x, y = features(30, 4), features(25, 5, 0.3)
    left, right = (KernelDistance(extractor="classifier:1f") for _ in range(2))
    left.update(real=x[:10])
    right.update(real=x[10:], generated=y[:3])
    right.update(generated=y[3:])
    left.merge(right)
    whole = measured(x, y)
    assert left.compute() == whole
    assert measured(x.flip(0), y.flip(0)).distance.value == pytest.approx(whole.distance.value, rel=1e-12)
    assert whole.rows()[0].name == "classifier-kernel-distance"
    assert whole.protocol.describe().startswith("extractor=classifier:1f, kernel=")


def test_too_little_is_refused():
    metric = KernelDistance(extractor="classifier:1f")
    with pytest.raises(ShapeError, match="real and of generated objects before compute"):
        metric.compute()
    with pytest.raises(ShapeError, match="at least two generated objects, received 1"):
        measured(features(3, 0), features(1, 0))
    with pytest.raises(ShapeError, match=r"floats of shape \(n, 6\), received torch.float64 \(3, 5\)"):
        measured(features(3, 0), features(3, 0)[:, :5])
    with pytest.raises(
        EvalError, match=r"expected features of classifier:1f, received features of classifier:2a"
    ):
        metric.merge(KernelDistance(extractor="classifier:2a"))
    assert measured(features(2, 0), features(2, 1)).distance.standard_error is None
