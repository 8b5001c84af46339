"""The VAE on a GPU gives the numbers of the CPU."""

import copy

import pytest
import torch

from tnprior_core import Categorical, TensorRingPrior, TensorTrainPrior
from tnprior_core import Gaussian as Latent
from tnprior_models import VAE, Bernoulli, ConvDecoder, ConvEncoder, Gaussian, Polish, refit_prior

pytestmark = pytest.mark.gpu

SITES = [*(Latent(f"z{i}", components=4) for i in range(3)), Categorical("kind", ("a", "b", "c"))]
MODELS = {
    "train, Bernoulli": lambda: (TensorTrainPrior(SITES, rank=4), Bernoulli()),
    "ring, Gaussian": lambda: (TensorRingPrior(SITES, rank=4), Gaussian(channels=1)),
}


def both(name):
    torch.manual_seed(0)
    shape = (1, 12, 9)
    nets = [net(shape, 3, width=8, hidden=16) for net in (ConvEncoder, ConvDecoder)]
    here = VAE(*nets, *MODELS[name](), attribute_weight=3.0).double()
    x = torch.rand(40, *shape, dtype=torch.float64)
    return here, copy.deepcopy(here).cuda(), (x, torch.randint(3, (40, 1)), torch.rand(40, 1) > 0.4)


def close(there, here, tolerance=1e-8):
    torch.testing.assert_close(there.cpu(), here, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", MODELS)
def test_queries_agree_with_the_cpu(name):
    here, there, data = both(name)
    far = tuple(part.cuda() for part in data)
    close(there.encode(far[0]).mean, here.encode(data[0]).mean)
    close(there.impute(*far)[0], here.impute(*data)[0])
    close(there.reconstruct(far[0]), here.reconstruct(data[0]))
    one, other = there.sample(70, {"kind": "b"}, seed=1), here.sample(70, {"kind": "b"}, seed=1)
    close(one.values, other.values)
    close(one.x, other.x)
    assert torch.equal(there.draws(*far, 3).cpu(), here.draws(*data, 3))
    assert one.x.device.type == "cuda"


@pytest.mark.parametrize("name", MODELS)
def test_loss_gradients_and_refit_run_there(name):
    _, there, data = both(name)
    far = tuple(part.cuda() for part in data)
    terms = there.loss(far)
    terms["loss"].backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in there.parameters())
    assert there.log_weights(*far, 5).device.type == "cuda"
    changed = refit_prior(there, *data, polish=Polish(steps=5, batch_size=16))
    assert all(torch.isfinite(parameter).all() for parameter in changed)
