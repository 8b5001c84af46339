"""Metrics take tensors from any device and give the numbers of the CPU."""

import pytest
import torch

from tnprior_eval import (
    ClassifierFrechet,
    ConditionViolation,
    Diversity,
    Imputation,
    KernelDistance,
    LikelihoodBound,
    PrecisionRecall,
    Report,
    VendiScore,
    accuracy,
    broken_requests,
    inside_balls,
    kernel_distance,
    majority_codes,
    quantize,
)

pytestmark = pytest.mark.gpu


def measured(device):
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 2, (60, 2), generator=generator)
    answers = torch.randint(0, 2, (60, 2), generator=generator).to(device)
    tables = [torch.randn(60, 2, generator=generator).double().softmax(dim=1).to(device) for _ in range(2)]
    observed = torch.rand(60, 2, generator=generator) < 0.7
    codes, observed = codes.to(device), observed.to(device)
    x, y = (torch.randn(60, 3, generator=generator, dtype=torch.float64).to(device) for _ in range(2))
    imputation = Imputation(["a", "b"], majority=majority_codes(codes, observed, [2, 2]))
    imputation.update(tables, codes, observed)
    violation = ConditionViolation(["a", "b"])
    violation.update(*broken_requests(answers, [torch.tensor([True, False]), None]))
    diversity = Diversity(["a", "b"], [2, 2])
    diversity.update(answers)
    bound = LikelihoodBound(20)
    bound.update(x.T.repeat(7, 1)[:20])
    distances = [
        kind(extractor="classifier:1f")
        for kind in (ClassifierFrechet, KernelDistance, PrecisionRecall, VendiScore)
    ]
    for metric in distances:
        metric.update(real=x, generated=y)
    accumulators = (imputation, violation, diversity, bound, *distances)
    report = Report(
        [accuracy(answers, codes, observed, ["a", "b"])] + [metric.compute() for metric in accumulators]
    )
    return report.values() | {"kernel": kernel_distance(x, y), "inside": int(inside_balls(x, y, 3).sum())}


def test_numbers_do_not_depend_on_the_device():
    assert measured("cuda") == pytest.approx(measured("cpu"), rel=1e-9, nan_ok=True)


def test_images_leave_the_device_as_they_are():
    x = torch.rand(2, 3, 8, 8, device="cuda")
    assert torch.equal(quantize(x).cpu(), quantize(x.cpu()))
