"""Real handwritten digits with 30 % of the labels missing: the bar for imputation."""

import pytest
import torch
from sklearn.datasets import load_digits

from tnprior_core import Categorical, TensorTrainPrior, initialize_from_labels
from tnprior_core import Gaussian as Latent
from tnprior_models import VAE, Bernoulli, ConvDecoder, ConvEncoder


def digits():
    bunch = load_digits()
    x = torch.tensor(bunch.images / 16, dtype=torch.float32)[:, None]
    y = torch.tensor(bunch.target)[:, None]
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(777))
    return x[order], y[order]


@pytest.mark.slow
def test_missing_labels_of_unseen_digits_are_filled_in():
    torch.manual_seed(0)
    x, y = digits()
    train, test = slice(0, 1437), slice(1437, None)
    observed = torch.rand(1437, 1) >= 0.3
    sites = [*(Latent(f"z{i}") for i in range(16)), Categorical("digit", tuple("0123456789"))]
    prior = TensorTrainPrior(sites, rank=16)
    initialize_from_labels(prior, spread=1.5)
    vae = VAE(
        ConvEncoder((1, 8, 8), 16, width=16),
        ConvDecoder((1, 8, 8), 16, width=16),
        prior,
        Bernoulli(),
        attribute_weight=10.0,
        learning_rate=2e-3,
        prior_learning_rate=2e-2,
    )
    (objective,) = vae.objectives()
    optimizer = objective.build_optimizer()
    batches = [batch for _ in range(40) for batch in torch.randperm(1437)[:1408].split(32)]
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(batches))
    for batch in batches:
        optimizer.zero_grad()
        objective.loss((x[train][batch], y[train][batch], observed[batch]))["loss"].backward()
        torch.nn.utils.clip_grad_norm_(list(objective.tensors()), 100.0)
        optimizer.step()
        schedule.step()
    (probabilities,) = vae.impute(x[test], y[test], torch.zeros_like(y[test], dtype=torch.bool))
    accuracy = (probabilities.argmax(dim=1) == y[test][:, 0]).float().mean().item()
    assert accuracy >= 0.93
