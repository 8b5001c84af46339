"""Mirrored training images: which ones is a function of seed, epoch and example, and of nothing else."""

import torch
from torch import nn

from tnprior_models import Objective, TrainConfig, Trainer
from tnprior_models.training import TensorData

ROWS, EPOCHS = 40, 6


class Watcher(nn.Module):
    """Remembers whether each example came mirrored; example i has its number on the left."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen = []

    def objectives(self):
        return (Objective("watch", [self.weight], self.loss, lambda groups: torch.optim.SGD(groups, lr=0.1)),)

    def loss(self, batch):
        x, codes, _ = batch
        left, right = x[:, 0, 0, 0], x[:, 0, 0, -1]
        assert torch.equal(torch.maximum(left, right), (codes[:, 0] + 1) / 255)
        assert torch.equal(torch.minimum(left, right), torch.zeros_like(left))
        self.seen += list(zip(codes[:, 0].tolist(), (right > left).tolist(), strict=True))
        return {"loss": self.weight**2}


def table(**options):
    """Mirrored or not, (epochs, rows)."""
    x = torch.zeros(ROWS, 1, 3, 5, dtype=torch.uint8)
    x[:, :, :, 0] = torch.arange(1, ROWS + 1, dtype=torch.uint8)[:, None, None]
    codes = torch.arange(ROWS)[:, None]
    model = Watcher()
    settings = {"epochs": EPOCHS, "batch_size": 16, **options}
    Trainer(model, TrainConfig(**settings), TensorData(x, codes, codes >= 0)).fit()
    found = torch.zeros(EPOCHS, ROWS, dtype=torch.bool)
    for place, (row, mirrored) in enumerate(model.seen):
        found[place // ROWS, row] = mirrored
    return found


def test_no_image_is_mirrored_unless_asked_for():
    assert not table().any()


def test_half_are_mirrored_anew_in_every_epoch():
    found = table(flip=True)
    assert 0.35 < found.double().mean() < 0.65  # four standard deviations of 240 fair coins
    assert len({tuple(row.tolist()) for row in found}) == EPOCHS


def test_batches_and_accumulation_change_nothing_and_the_seed_does():
    found = table(flip=True)
    assert torch.equal(found, table(flip=True, batch_size=7))
    assert torch.equal(found, table(flip=True, accumulate=3))
    assert not torch.equal(found, table(flip=True, seed=1))
