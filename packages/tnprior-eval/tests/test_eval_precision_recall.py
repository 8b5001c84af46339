"""Precision and recall against torch-fidelity, brute force and pictures that a person can check."""

import pytest
import torch

from tnprior_eval import EvalError, PrecisionRecall, ShapeError, inside_balls, wilson_interval


def features(n, seed, shift=0.0):
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def measured(real, generated, neighbours=3):
    metric = PrecisionRecall(extractor="classifier:1f", neighbours=neighbours)
    metric.update(real=real, generated=generated)
    return metric.compute()


def test_it_agrees_with_torch_fidelity():
    oracle = pytest.importorskip("torch_fidelity.metric_prc").calculate_precision_recall_part
    real, generated = features(150, 0), features(120, 1, 0.6)
    precision, recall = oracle(generated, real, 3, 64)  # generated first, by its convention
    result = measured(real, generated)
    assert result.precision.value == pytest.approx(precision, abs=1e-6)
    assert result.recall.value == pytest.approx(recall, abs=1e-6)
    assert result.precision.interval == wilson_interval(result.precision.value, 120)
    assert [row.name for row in result.rows()] == ["classifier/precision", "classifier/recall"]


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_balls_by_brute_force(chunk):
    points, centres = features(30, 2), features(20, 3, 0.5)
    expected = []
    for point in points:
        inside = False
        for i, centre in enumerate(centres):
            others = [float((centre - other).norm()) for j, other in enumerate(centres) if j != i]
            inside = inside or float((point - centre).norm()) <= sorted(others)[1]
        expected.append(inside)
    assert inside_balls(points, centres, 2, chunk=chunk).tolist() == expected


def test_a_collapsed_generator_is_precise_and_forgets():
    real = torch.cat([features(100, 4), features(100, 5, 50.0)])
    collapsed = measured(real, features(100, 6))
    assert collapsed.precision.value > 0.7
    assert collapsed.recall.value < 0.55
    scattered = measured(features(100, 4), torch.cat([features(100, 6), features(100, 7, 50.0)]))
    assert scattered.precision.value < 0.55
    assert scattered.recall.value > 0.7


def test_batches_do_not_matter():
    real, generated = features(40, 8), features(40, 9)
    left, right = (PrecisionRecall(extractor="classifier:1f") for _ in range(2))
    left.update(real=real[:15], generated=generated)
    right.update(real=real[15:])
    left.merge(right)
    assert left.compute() == measured(real, generated)


def test_too_few_neighbours_are_refused():
    with pytest.raises(ShapeError, match="between 1 and 2 neighbours, received 3"):
        measured(features(3, 0), features(9, 1))
    with pytest.raises(EvalError, match="expected features of classifier:1f"):
        PrecisionRecall(extractor="classifier:1f").merge(PrecisionRecall(extractor="classifier:2a"))
