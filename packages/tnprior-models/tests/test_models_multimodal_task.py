"""A task that JMVAE and TELBO have to learn: show the labels that are asked for, leave the others free."""

import itertools

import pytest
import torch
from torch import nn

from tnprior_core import Categorical
from tnprior_core import Gaussian as Latent
from tnprior_models import (
    JMVAE,
    TELBO,
    DecodedPrior,
    DenseHead,
    Gaussian,
    LabelCode,
    LabelExperts,
    MultimodalVAE,
)


class Flat(nn.Module):
    """Features are the pixels."""

    def forward(self, x):
        return x.flatten(1)


def halves(rows):
    """Rows of four pixels whose halves are dark or bright, with some noise: the labels say which."""
    codes = torch.randint(2, (rows, 2))
    codes[:, 1] = torch.where(torch.rand(rows) < 0.3, codes[:, 0], codes[:, 1])
    brightness = 0.15 + 0.7 * codes.repeat_interleave(2, dim=1) + 0.1 * torch.rand(rows, 4)
    return brightness.view(rows, 1, 1, 4).clamp(0, 1), codes, torch.rand(rows, 2) < 0.7


class Row(nn.Module):
    """Logits of four pixels."""

    def __init__(self):
        super().__init__()
        self.head = DenseHead(2, 4, hidden=32)

    def forward(self, z):
        return self.head(z).view(-1, 1, 1, 4)


class Concatenated(nn.Module):
    """q(z|x, y) from pixels and labels side by side."""

    def __init__(self):
        super().__init__()
        self.head = DenseHead(4 + 4, 4, hidden=32)

    def forward(self, features, rows):
        return self.head(torch.cat([features, rows], dim=1)).chunk(2, dim=-1)


class Halved(nn.Module):
    """q(z|x)."""

    def __init__(self):
        super().__init__()
        self.head = DenseHead(4, 4, hidden=32)

    def forward(self, features):
        return self.head(features).chunk(2, dim=-1)


@pytest.mark.parametrize("name", ["jmvae", "telbo"])
def test_a_trained_model_shows_what_is_asked_for_and_leaves_the_rest_free(name):
    torch.manual_seed(0)
    sites = [Latent("z0"), Latent("z1"), Categorical("left"), Categorical("right")]
    encoder, alignment = {
        "jmvae": (LabelCode(4, 2, hidden=32), JMVAE()),
        "telbo": (LabelExperts(4, 2, hidden=32), TELBO(10.0)),
    }[name]
    model = MultimodalVAE(
        Flat(),
        Concatenated(),
        Halved(),
        Row(),
        DecodedPrior(sites, DenseHead(2, 4, hidden=32), encoder),
        Gaussian(),
        alignment,
        attribute_weight=5.0,
        learning_rate=3e-3,
        prior_learning_rate=3e-3,
    )
    (objective,) = model.objectives()
    optimizer = objective.build_optimizer()
    for _ in range(500):
        optimizer.zero_grad()
        objective.loss(halves(128))["loss"].backward()
        optimizer.step()
    for left, right in itertools.product("01", repeat=2):
        x = model.sample(500, {"left": left, "right": right}, seed=0).x.flatten(1)
        shown = (x[:, [0, 2]] > 0.5) == torch.tensor([left == "1", right == "1"])
        assert shown.all(1).double().mean() > 0.85, (left, right)
    x = model.sample(500, {"left": "1"}, seed=0).x.flatten(1)
    assert (x[:, 0] > 0.5).double().mean() > 0.9
    assert 0.3 < (x[:, 2] > 0.5).double().mean() < 0.95
