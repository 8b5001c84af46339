"""Every prior passes one suite; adding a prior is one line."""

import pytest
import torch

from tnprior_core import (
    FactorRingPrior,
    Gaussian,
    GaussianMixturePrior,
    Softplus,
    Square,
    StandardNormalPrior,
    TensorRingPrior,
    TensorTrainPrior,
    VampPrior,
)
from tnprior_core.testing import check_prior


def uneven(prior):
    """The same prior with labels that are not equally frequent."""
    for logits in prior.label_logits.values():
        noise = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0))
        logits.detach().copy_(noise)
    return prior


def vamp(sites):
    """An encoder that answers linearly, with pseudo-inputs inside and outside of the range of the data."""
    inputs = 2 * torch.rand(4, 3, generator=torch.Generator().manual_seed(1)) - 0.5
    latents = sum(isinstance(site, Gaussian) for site in sites)
    weight = torch.randn(3, 2 * latents, generator=torch.Generator().manual_seed(2))

    def encode(u):
        mean, raw = (u @ weight.to(u)).chunk(2, 1)
        return mean, torch.nn.functional.softplus(raw) + 0.4

    return VampPrior(sites, inputs, encode)


PRIORS = {
    "train": lambda sites: TensorTrainPrior(sites, rank=3),
    "train, rank 1": lambda sites: TensorTrainPrior(sites, rank=1),
    "train, unequal ranks": lambda sites: TensorTrainPrior(sites, rank=[1, 2, 4, 3, 2]),
    "train, softplus, other order": lambda sites: TensorTrainPrior(
        sites, rank=3, positivity=Softplus(), order=["b", "z1", "z0", "a"]
    ),
    "ring": lambda sites: TensorRingPrior(sites, rank=3),
    "ring, unequal ranks": lambda sites: TensorRingPrior(sites, rank=[2, 3, 1, 4]),
    "ring, square, other order": lambda sites: TensorRingPrior(
        sites, rank=2, positivity=Square(), order=[3, 0, 2, 1]
    ),
    "train, factored": lambda sites: TensorTrainPrior(sites, rank=4, factored=True),
    "ring, factored, unequal ranks": lambda sites: TensorRingPrior(
        sites, rank=[2, 3, 1, 4], factored=True, positivity=Softplus()
    ),
    "mixture": lambda sites: GaussianMixturePrior(sites, components=5),
    "factor ring": lambda sites: FactorRingPrior(sites, components=4, points=3),
    "factor ring, two factors, other order": lambda sites: FactorRingPrior(
        sites, components=3, points=2, factors=2, order=list(range(len(sites)))[::-1]
    ),
    "pseudo-inputs": vamp,
    "normal": lambda sites: uneven(StandardNormalPrior(sites)),
    "normal, a train of labels": lambda sites: StandardNormalPrior(sites, rank=3),
}


@pytest.mark.parametrize("name", PRIORS)
def test_prior_conforms(name):
    check_prior(PRIORS[name])


def test_prior_without_attributes_conforms():
    check_prior(StandardNormalPrior, attributes=False)


def test_suite_notices_a_prior_that_is_not_normalised():
    class Careless(TensorTrainPrior.__mro__[1]):
        closed = False

        def forward(self):
            p = TensorTrainPrior.forward(self)
            right = p.log_prob
            p.log_prob = lambda values, observed=None: right(values, observed) - 0.01
            return p

    with pytest.raises(AssertionError, match="integrates to"):
        check_prior(lambda sites: Careless(sites, rank=2))


@pytest.mark.gpu
@pytest.mark.parametrize("name", PRIORS)
def test_prior_conforms_on_cuda(name):
    check_prior(PRIORS[name], devices=["cpu", "cuda"])
