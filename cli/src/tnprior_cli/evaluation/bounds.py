"""ELBO and IWAE of the test images."""

from functools import partial

import torch

from tnprior_cli.evaluation.subject import Subject
from tnprior_eval import BoundResult, ContinuousPixels, DiscretePixels, LikelihoodBound, Protocol

CHUNK = 4  # importance samples at a time


def image_bounds(subject: Subject) -> BoundResult:
    """Bounds on log p(x) of test images, in nats and bits per dimension; no label is used."""
    channels, height, width = subject.run.objects.shape
    likelihood, dimensions = subject.run.config.model.likelihood, channels * height * width
    pixels = DiscretePixels(dimensions) if likelihood == "bernoulli" else ContinuousPixels(dimensions)
    protocol = Protocol(
        seed=subject.effort.seed, settings={"split": "test", "of": "images", "p(x|z)": likelihood}
    )
    metric = LikelihoodBound(subject.effort.k, pixels=pixels, chunk=CHUNK, protocol=protocol)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(subject.effort.seed)
        for _, batch in subject.test_pieces(subject.effort.bounded):
            metric.update(partial(subject.model.log_weights, *batch))
    return metric.compute()
