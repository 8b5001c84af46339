"""The VAE on a GPU gives the numbers of the CPU."""

import copy

import pytest
import torch

from tnprior_core import Categorical, TensorRingPrior, TensorTrainPrior, initialize_from_labels
from tnprior_core import Gaussian as Latent
from tnprior_models import VAE, Bernoulli, ConvDecoder, ConvEncoder, Gaussian, Polish, refit_prior
from tnprior_models.training import TensorData, TrainConfig, Trainer

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
def test_what_is_made_within_a_device_trains_there(name, tmp_path):
    """Order, views, validation, refit and queries, with data on the CPU and every other default on the device."""
    x = torch.rand(24, 1, 8, 8)
    codes = torch.arange(24).remainder(3).unsqueeze(1)
    data = TensorData(x, codes, codes < 2)
    config = TrainConfig(epochs=2, batch_size=7, flip=True, shift=1)
    with torch.device("cuda"):
        nets = [net((1, 8, 8), 3, width=8, hidden=16) for net in (ConvEncoder, ConvDecoder)]
        prior, likelihood = MODELS[name]()
        initialize_from_labels(prior)
        model = VAE(*nets, prior, likelihood)
        Trainer(model, config, data, tmp_path, validation=data, device="cuda").fit()
        refit_prior(model, x, codes, codes < 2, polish=Polish(steps=3, batch_size=16))
        table = model.impute(*(part.cuda() for part in (x, codes, codes < 2)))[0]
    assert {parameter.device.type for parameter in model.parameters()} == {table.device.type} == {"cuda"}
    torch.testing.assert_close(table.sum(1).cpu(), torch.ones(24))
    assert table.argmax(1).cpu()[codes[:, 0] < 2].equal(codes[codes < 2])


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
