"""ELBO and IWAE of the test images, without their labels and with them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tnprior_cli.build import pick_device
from tnprior_cli.evaluation.subject import Subject
from tnprior_eval import (
    BoundResult,
    ContinuousPixels,
    DiscretePixels,
    LikelihoodBound,
    PixelConvention,
    Protocol,
)
from tnprior_models import BoundsSubsets

CHUNK = 4  # importance samples at a time


def likelihood_bounds(subject: Subject) -> list[BoundResult]:
    """Bounds on log p(x) of test images, in nats and bits per dimension, and on log p(x, y) where there are labels.

    The first uses no label, the second (`joint-bound`) every label that is known. Both have the same noise, so that
    the difference of the two ELBOs of a model whose codes know no label is E_q[log p(y|z)] of the same codes.
    """
    kinds = (False, True) if subject.names else (False,)
    if isinstance(subject.model, BoundsSubsets):
        return _bounds(subject, kinds)
    return [bound for kind in kinds for bound in _bounds(subject, (kind,))]


def _bounds(subject: Subject, kinds: Sequence[bool]) -> list[BoundResult]:
    """Bounds with labels or without, as each of the kinds says, by the same samples."""
    metrics = [_metric(subject, labelled=labelled) for labelled in kinds]
    k = subject.effort.k
    place = pick_device(subject.device)
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []), torch.no_grad():
        torch.manual_seed(subject.effort.seed)
        for _, (x, codes, observed) in subject.labelled_test_pieces(subject.effort.bounded):
            tables = [(codes, observed if labelled else torch.zeros_like(observed)) for labelled in kinds]
            drawn = [_weights(subject, x, tables, min(CHUNK, k - first)) for first in range(0, k, CHUNK)]
            for metric, weights in zip(metrics, torch.cat(drawn, dim=1), strict=True):
                metric.update(weights)
    return [metric.compute() for metric in metrics]


def _weights(subject: Subject, x: Tensor, tables: Sequence[tuple[Tensor, Tensor]], k: int) -> Tensor:
    """Log importance weights (number of tables, k, B)."""
    if len(tables) == 1:
        weights: Tensor = subject.model.log_weights(x, *tables[0], k)[None]
    else:
        weights = subject.model.log_weights_of(x, tables, k)
    return weights


def _metric(subject: Subject, *, labelled: bool) -> LikelihoodBound:
    of, label = ("images with their labels", "joint-bound") if labelled else ("images", "bound")
    settings = {"split": "test", "of": of, "p(x|z)": subject.run.config.model.likelihood}
    protocol = Protocol(seed=subject.effort.seed, settings=settings)
    pixels = None if labelled else _pixels(subject)
    return LikelihoodBound(subject.effort.k, pixels=pixels, chunk=CHUNK, label=label, protocol=protocol)


def _pixels(subject: Subject) -> PixelConvention:
    channels, height, width = subject.run.objects.shape
    dimensions = channels * height * width
    bernoulli = subject.run.config.model.likelihood == "bernoulli"
    return DiscretePixels(dimensions) if bernoulli else ContinuousPixels(dimensions)
