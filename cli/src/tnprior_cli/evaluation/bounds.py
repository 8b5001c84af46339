"""ELBO and IWAE of the test images, without their labels and with them."""

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor

from tnprior_cli.evaluation.subject import Subject
from tnprior_eval import (
    BoundResult,
    ContinuousPixels,
    DiscretePixels,
    LikelihoodBound,
    PixelConvention,
    Protocol,
)

CHUNK = 4  # importance samples at a time

Batch = tuple[Tensor, Tensor, Tensor]


def image_bounds(subject: Subject) -> BoundResult:
    """Bounds on log p(x) of test images, in nats and bits per dimension; no label is used."""
    channels, height, width = subject.run.objects.shape
    dimensions = channels * height * width
    bernoulli = subject.run.config.model.likelihood == "bernoulli"
    pixels = DiscretePixels(dimensions) if bernoulli else ContinuousPixels(dimensions)
    batches = (batch for _, batch in subject.test_pieces(subject.effort.bounded))
    return _bounds(subject, batches, "images", "bound", pixels)


def labelled_bounds(subject: Subject) -> BoundResult:
    """Bounds on log p(x, y) of test images with every label that is known of them, in nats.

    The noise is that of `image_bounds`, so that the difference of the two ELBOs is E_q[log p(y|z)] of the same codes.
    """
    batches = (batch for _, batch in subject.labelled_test_pieces(subject.effort.bounded))
    return _bounds(subject, batches, "images with their labels", "joint-bound", None)


def _bounds(
    subject: Subject, batches: Iterable[Batch], of: str, label: str, pixels: PixelConvention | None
) -> BoundResult:
    likelihood = subject.run.config.model.likelihood
    protocol = Protocol(seed=subject.effort.seed, settings={"split": "test", "of": of, "p(x|z)": likelihood})
    metric = LikelihoodBound(subject.effort.k, pixels=pixels, chunk=CHUNK, label=label, protocol=protocol)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(subject.effort.seed)
        for batch in batches:
            metric.update(partial(subject.model.log_weights, *batch))
    return metric.compute()
