"""Calibration against torchmetrics, scikit-learn and simulation."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tnprior_eval import Calibration, Imputation, ShapeError, majority_codes

NAMES = ("digit", "hat")
COUNTS = (10, 2)


def predictions(n, seed, sharpness=2.0):
    generator = torch.Generator().manual_seed(seed)
    tables = [(sharpness * torch.randn(n, c, generator=generator)).softmax(dim=1) for c in COUNTS]
    codes = torch.stack([torch.randint(0, c, (n,), generator=generator) for c in COUNTS], dim=1)
    return tables, codes, torch.rand(n, 2, generator=generator) < 0.8


def scored(tables, codes, observed, **options):
    metric = Calibration(NAMES, **options)
    metric.update(tables, codes, observed)
    return metric.compute()


def test_error_agrees_with_torchmetrics():
    oracle = pytest.importorskip("torchmetrics.functional.classification").multiclass_calibration_error
    tables, codes, observed = predictions(500, 0)
    result = scored(tables, codes, observed, bins=12)
    for a, name in enumerate(NAMES):
        seen = observed[:, a]
        expected = oracle(tables[a][seen], codes[seen, a], num_classes=COUNTS[a], n_bins=12, norm="l1")
        assert result.attributes[name].width.error.value == pytest.approx(float(expected), abs=1e-6)


def test_brier_and_likelihood_agree_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    tables, codes, observed = predictions(500, 1)
    result = scored(tables, codes, observed)
    for a, name in enumerate(NAMES):
        seen = observed[:, a]
        p = tables[a][seen].double()
        p = (p / p.sum(dim=1, keepdim=True)).cpu().numpy()
        y = codes[seen, a].cpu().numpy()
        loss = metrics.log_loss(y, p, labels=list(range(COUNTS[a])))
        assert result.attributes[name].nll.value == pytest.approx(loss, abs=1e-6)
    hat = observed[:, 1]
    brier = metrics.brier_score_loss(codes[hat, 1].tolist(), tables[1][hat, 1].tolist())
    assert result.attributes["hat"].brier.value == pytest.approx(2 * brier, abs=1e-6)


def test_reliability_data_adds_up():
    tables, codes, observed = predictions(400, 2)
    for diagram in (
        scored(tables, codes, observed).overall.width,
        scored(tables, codes, observed).overall.mass,
    ):
        counts = torch.tensor(diagram.counts).double()
        gaps = (torch.tensor(diagram.accuracy) - torch.tensor(diagram.confidence)).abs().nan_to_num().double()
        assert int(counts.sum()) == int(observed.sum()) == diagram.error.n
        assert float((counts * gaps).sum() / counts.sum()) == pytest.approx(diagram.error.value, abs=1e-7)
        assert len(diagram.edges) == len(diagram.counts) + 1 == len(diagram.accuracy) + 1
        assert (diagram.edges[0], diagram.edges[-1]) == (0.0, 1.0)


def test_equal_mass_bins_hold_the_same_number():
    tables, codes, _ = predictions(450, 3)
    metric = Calibration(["digit"], bins=15)
    metric.update(tables[:1], codes[:, :1], torch.ones(450, 1, dtype=torch.bool))
    assert metric.compute().overall.mass.counts == (30,) * 15


def test_ties_stay_together():
    sure = torch.tensor([[1.0, 0.0]]).expand(20, 2)
    metric = Calibration(["hat"], bins=4)
    metric.update([sure], torch.tensor([[0]] * 15 + [[1]] * 5), torch.ones(20, 1, dtype=torch.bool))
    scores = metric.compute().overall
    assert scores.mass.counts == (20,)
    assert scores.mass.error.value == scores.width.error.value == 0.25
    assert scores.nll.value == math.inf
    assert scores.nll.interval is None


def test_right_confidences_show_only_the_noise_that_was_announced():
    generator = torch.Generator().manual_seed(4)
    errors, announced = [], []
    for _ in range(40):
        p = (1.5 * torch.randn(1500, 10, generator=generator).double()).softmax(dim=1)
        codes = torch.multinomial(p.cpu(), 1, generator=generator).to(p.device)
        metric = Calibration(["digit"])
        metric.update([p], codes, torch.ones(1500, 1, dtype=torch.bool))
        diagram = metric.compute().overall.width
        errors.append(diagram.error.value)
        announced.append(diagram.error_if_calibrated)
    assert sum(errors) == pytest.approx(sum(announced), rel=0.1)


def test_interval_of_the_error_covers_the_truth():
    generator = torch.Generator().manual_seed(5)
    covered = 0
    for _ in range(120):
        confidence = 0.5 + 0.5 * torch.rand(1000, 1, generator=generator).double()
        right = torch.rand(1000, 1, generator=generator).double() < 0.5 * confidence + 0.2  # overconfident
        p = torch.cat([confidence, 1 - confidence], dim=1)
        metric = Calibration(["hat"], bins=5, level=0.9)
        metric.update([p], (~right).long(), torch.ones(1000, 1, dtype=torch.bool))
        interval = metric.compute().overall.width.error.interval
        covered += interval.low <= 0.5 * 0.75 - 0.2 <= interval.high
    assert 0.83 <= covered / 120 <= 0.97


@settings(max_examples=25)
@given(n=st.integers(1, 50), seed=st.integers(0, 10_000))
def test_any_split_gives_the_same(n, seed):
    tables, codes, observed = predictions(n, seed)
    majority = torch.tensor([3, 1])
    whole = Imputation(NAMES, majority=majority)
    whole.update(tables, codes, observed)
    parts = [Imputation(NAMES, majority=majority), Imputation(NAMES, majority=majority)]
    points = torch.randint(0, n + 1, (2,), generator=torch.Generator().manual_seed(seed)).sort().values
    for turn, index in enumerate(torch.tensor_split(torch.arange(n), points.tolist())):
        parts[turn % 2].update([table[index] for table in tables], codes[index], observed[index])
    parts[0].merge(parts[1])
    mine, theirs = parts[0].compute(), whole.compute()
    assert repr(mine.accuracy) == repr(theirs.accuracy)
    assert repr(mine.majority) == repr(theirs.majority)
    for left, right in zip(mine.calibration.rows(), theirs.calibration.rows(), strict=True):
        assert left.estimate.value == pytest.approx(right.estimate.value, rel=1e-12, nan_ok=True)


def test_majority_is_the_commonest_observed_training_label():
    codes = torch.tensor([[2, 0], [2, 1], [0, 1], [0, 1], [0, 0]])
    observed = torch.tensor([[1, 1], [1, 1], [1, 0], [0, 0], [0, 1]], dtype=torch.bool)
    assert majority_codes(codes, observed, [3, 2]).tolist() == [2, 0]


def test_the_baseline_stands_beside_the_accuracy():
    tables, codes, observed = predictions(100, 6)
    metric = Imputation(NAMES, majority=torch.tensor([4, 0]))
    metric.update(tables, codes, observed)
    result = metric.compute()
    expected = (codes[observed[:, 0], 0] == 4).double().mean()
    assert result.majority.attributes["digit"].value == pytest.approx(float(expected))
    assert [row.name for row in result.rows()][:4] == [
        "imputation-accuracy",
        "imputation-majority",
        "imputation-accuracy/mean",
        "imputation-majority/mean",
    ]


def test_what_is_no_probability_is_refused():
    tables, codes, observed = predictions(5, 7)
    metric = Calibration(NAMES)
    with pytest.raises(ShapeError, match="'digit' to be non-negative and to sum to 1"):
        metric.update([2 * tables[0], tables[1]], codes, observed)
    with pytest.raises(ShapeError, match="sum to 1"):
        metric.update([tables[0] * math.nan, tables[1]], codes, observed)
    with pytest.raises(ShapeError, match=r"floats of shape \(5, C\), received torch.float32 \(4, 2\)"):
        metric.update([tables[0], tables[1][:4]], codes, observed)
    with pytest.raises(ShapeError, match="probabilities of 2 attributes, received 1"):
        metric.update(tables[:1], codes, observed)
    with pytest.raises(ShapeError, match=r"codes\[0, 1\] between 0 and 1, received 9"):
        metric.update(tables, torch.full_like(codes, 9), torch.ones_like(observed))
    with pytest.raises(ShapeError, match="at least one update"):
        metric.compute()
