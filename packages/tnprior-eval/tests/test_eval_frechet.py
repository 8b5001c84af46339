"""Moments and Fréchet distances against numpy, scipy, closed forms, torch-fidelity and torchmetrics."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tnprior_eval import ClassifierFrechet, EvalError, GroupedMoments, Moments, ShapeError, frechet_distance


def features(n, d, seed, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=generator, dtype=torch.float64)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) @ mix + shift


def gaussian(mean, covariance, n=1_000_000):
    """Moments that claim exactly this mean and covariance."""
    return Moments(n, mean.double().cpu(), covariance.double().cpu() * (n - 1))


def test_moments_agree_with_numpy():
    x = features(50, 4, 0, shift=1e6)
    moments = Moments.of(x[:20]).merge(Moments.of(x[20:21])).merge(Moments.of(x[21:])).merge(Moments.empty(4))
    assert moments.n == 50
    np.testing.assert_allclose(moments.mean, x.cpu().numpy().mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(moments.covariance, np.cov(x.cpu().numpy(), rowvar=False), rtol=1e-7)


@settings(max_examples=30)
@given(n=st.integers(8, 40), groups=st.integers(1, 6), seed=st.integers(0, 1000))
def test_groups_do_not_depend_on_the_batches(n, groups, seed):
    x = features(n, 3, seed)
    whole, parts = GroupedMoments(groups), GroupedMoments(groups)
    whole.update(x)
    points = torch.randint(0, n + 1, (4,), generator=torch.Generator().manual_seed(seed)).sort().values
    for part in torch.tensor_split(x, points.tolist()):
        parts.update(part)
    torch.testing.assert_close(parts.total().mean, whole.total().mean)
    torch.testing.assert_close(parts.total().scatter, whole.total().scatter)
    torch.testing.assert_close(whole.total().scatter, Moments.of(x).scatter)
    for g, (mine, theirs) in enumerate(zip(parts.leave_one_out(), whole.leave_one_out(), strict=True)):
        rest = x[torch.arange(n) % groups != g]
        torch.testing.assert_close(mine.scatter, theirs.scatter)
        torch.testing.assert_close(mine.scatter, Moments.of(rest).scatter)
        assert mine.n == len(rest)


def test_merged_groups_are_those_of_both_processes():
    x = features(40, 3, 1)
    first, second, empty = GroupedMoments(4), GroupedMoments(4), GroupedMoments(4)
    first.update(x[:18])
    second.update(x[18:])
    empty.merge(first)
    empty.merge(second)
    empty.merge(GroupedMoments(4))
    torch.testing.assert_close(empty.total().scatter, Moments.of(x).scatter)
    assert empty.n == 40


def test_diagonal_gaussians_have_a_closed_form():
    a, b = torch.tensor([1.0, 4.0, 9.0]), torch.tensor([4.0, 4.0, 0.25])
    mean = torch.tensor([1.0, -2.0, 0.0])
    expected = 5.0 + float((a.sqrt() - b.sqrt()).square().sum())
    value = frechet_distance(gaussian(mean, a.diag()), gaussian(torch.zeros(3), b.diag()))
    assert value == pytest.approx(expected, rel=1e-12)


def test_full_covariances_agree_with_scipy_sqrtm():
    linalg = pytest.importorskip("scipy.linalg")
    first, second = Moments.of(features(300, 12, 2)), Moments.of(features(200, 12, 3, shift=0.5))
    s1, s2 = first.covariance.numpy(), second.covariance.numpy()
    root = linalg.sqrtm(s1 @ s2).real
    shift = float((first.mean - second.mean).square().sum())
    expected = shift + np.trace(s1 + s2 - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)


def test_it_is_the_fid_of_torch_fidelity():
    oracle = pytest.importorskip("torch_fidelity.metric_fid")
    x, y = features(400, 16, 4), features(300, 16, 5, shift=0.3)
    stats = [oracle.fid_features_to_statistics(f.cpu()) for f in (x, y)]
    expected = oracle.fid_statistics_to_metric(*stats, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(Moments.of(x), Moments.of(y)) == pytest.approx(expected, rel=1e-9)


def test_it_is_the_fid_of_torchmetrics():
    oracle = pytest.importorskip("torchmetrics.image.fid")._compute_fid
    x, y = Moments.of(features(400, 16, 6)), Moments.of(features(300, 16, 7, shift=0.3))
    expected = float(oracle(x.mean, x.covariance, y.mean, y.covariance))
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=30)
@given(n=st.integers(2, 12), m=st.integers(2, 12), d=st.integers(1, 20), seed=st.integers(0, 1000))
def test_fewer_samples_than_features_stay_real_and_finite(n, m, d, seed):
    x, y = features(n, d, seed), features(m, d, seed + 1)
    value = frechet_distance(Moments.of(x), Moments.of(y))
    assert math.isfinite(value)
    assert value >= 0
    assert value == pytest.approx(frechet_distance(Moments.of(y), Moments.of(x)), rel=1e-7, abs=1e-7)
    assert frechet_distance(Moments.of(x), Moments.of(x)) == pytest.approx(
        0.0, abs=1e-8 * float(x.square().sum())
    )


def test_constant_features_are_points():
    point = Moments.of(torch.ones(5, 3))
    assert frechet_distance(point, Moments.of(torch.zeros(4, 3))) == 3.0
    spread = gaussian(torch.ones(3), torch.eye(3))
    assert frechet_distance(point, spread) == pytest.approx(3.0)


def test_rotations_change_nothing():
    x, y = features(60, 5, 8), features(50, 5, 9, shift=1.0)
    rotation = torch.linalg.qr(features(5, 5, 10)).Q
    expected = frechet_distance(Moments.of(x), Moments.of(y))
    assert frechet_distance(Moments.of(x @ rotation), Moments.of(y @ rotation)) == pytest.approx(expected)


def test_jackknife_removes_the_bias_and_knows_the_error():
    """Both sides from one distribution: the truth is 0, the plug-in value is positive."""
    plain, corrected, errors = [], [], []
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        metric = ClassifierFrechet(extractor="classifier:0", groups=10)
        metric.update(
            real=torch.randn(400, 4, generator=generator, dtype=torch.float64),
            generated=torch.randn(400, 4, generator=generator, dtype=torch.float64) + 0.5,
        )
        frechet = metric.compute().frechet
        plain.append(frechet.distance.value)
        corrected.append(frechet.bias_corrected)
        errors.append(frechet.distance.standard_error)
    spread = float(np.std(plain, ddof=1))
    assert np.mean(errors) == pytest.approx(spread, rel=0.25)
    assert abs(np.mean(corrected) - 1.0) < 3 * spread / math.sqrt(60)
    assert np.mean(plain) - 1.0 > 2 * abs(np.mean(corrected) - 1.0)


def test_accumulators_merge_and_reuse_the_real_side():
    x, y = features(100, 4, 11), features(80, 4, 12)
    whole = ClassifierFrechet(extractor="classifier:1f", groups=4)
    whole.update(real=x, generated=y)
    left, right = (ClassifierFrechet(extractor="classifier:1f", groups=4) for _ in range(2))
    left.update(real=x[:50])
    left.update(generated=y[:40])
    right.update(real=x[50:], generated=y[40:])
    left.merge(right)
    again = ClassifierFrechet(extractor="classifier:1f", groups=4, real=whole.real, subset="hat=1")
    again.update(generated=y)
    values = [metric.compute().frechet.distance.value for metric in (whole, left, again)]
    assert values == pytest.approx([values[0]] * 3, rel=1e-9)
    assert again.compute().rows()[0].name == "classifier-frechet/hat=1"
    assert again.compute().protocol.settings == {"real": 100, "generated": 80}


def test_it_cannot_be_taken_for_an_fid():
    with pytest.raises(
        EvalError, match="expected the extractor of a classifier, received 'inception-v3:6726825d'"
    ):
        ClassifierFrechet(extractor="inception-v3:6726825d")
    with pytest.raises(EvalError, match=r"extractor name such as 'classifier:1f3a' \(kind:identity\)"):
        ClassifierFrechet(extractor="features")
    metric = ClassifierFrechet(extractor="classifier:1f")
    metric.update(real=torch.eye(4), generated=torch.eye(4))
    result = metric.compute()
    assert result.to_dict()["metric"] == "classifier-frechet"
    assert all("fid" not in row.name for row in result.rows())
    with pytest.raises(
        EvalError, match="expected features of classifier:1f, received features of classifier:2a"
    ):
        metric.merge(ClassifierFrechet(extractor="classifier:2a"))


def test_wrong_features_are_refused():
    metric = ClassifierFrechet(extractor="classifier:1f")
    with pytest.raises(ShapeError, match="at least one update"):
        metric.compute()
    metric.update(real=torch.eye(4))
    with pytest.raises(ShapeError, match=r"floats of shape \(n, 4\), received torch.float32 \(2, 3\)"):
        metric.update(real=torch.zeros(2, 3))
    with pytest.raises(ShapeError, match="NaN or infinite"):
        metric.update(real=torch.full((2, 4), math.nan))
    metric.update(generated=torch.zeros(1, 4))
    with pytest.raises(ShapeError, match="at least two samples for a covariance, received 1"):
        metric.compute()
    with pytest.raises(ShapeError, match="one dimension, received 4 and 3"):
        frechet_distance(Moments.of(torch.eye(4)), Moments.of(torch.eye(3)))
