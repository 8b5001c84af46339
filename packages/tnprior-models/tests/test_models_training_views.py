"""Mirrored and moved training images: how is a function of seed, epoch and example, and of nothing else."""

import pytest
import torch
from torch import nn

from tnprior_models import ModelError, Objective, TrainConfig, Trainer
from tnprior_models.training import TensorData

ROWS, EPOCHS, HEIGHT, WIDTH = 40, 6, 5, 7


class Watcher(nn.Module):
    """Remembers each example as it came."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen = []

    def objectives(self):
        return (Objective("watch", [self.weight], self.loss, lambda groups: torch.optim.SGD(groups, lr=0.1)),)

    def loss(self, batch):
        x, codes, _ = batch
        self.seen += list(zip(codes[:, 0].tolist(), x, strict=True))
        return {"loss": self.weight**2}


def pictures():
    return torch.randint(256, (ROWS, 2, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(0)).byte()


def shown(**options):
    """Every example in every epoch, (epochs, rows, C, H, W)."""
    x, codes = pictures(), torch.arange(ROWS)[:, None]
    model = Watcher()
    settings = {"epochs": EPOCHS, "batch_size": 16, **options}
    Trainer(model, TrainConfig(**settings), TensorData(x, codes, codes >= 0)).fit()
    found = torch.zeros(EPOCHS, *x.shape)
    for place, (row, image) in enumerate(model.seen):
        found[place // ROWS, row] = image
    return found


def moves(found, most):
    """How far down and right each was moved, (epochs, rows, 2); by search over all moves, edges repeated."""
    x = pictures().float() / 255
    padded = nn.functional.pad(x, (most, most, most, most), mode="replicate")
    answer = torch.full((*found.shape[:2], 2), 99)
    for down in range(-most, most + 1):
        for right in range(-most, most + 1):
            top, left = most - down, most - right
            moved = padded[:, :, top : top + HEIGHT, left : left + WIDTH]
            same = torch.isclose(found, moved).flatten(2).all(2)
            answer[same] = torch.tensor([down, right])
    assert (answer != 99).all()
    return answer


def mirrors(found):
    """Whether each came mirrored, (epochs, rows); it came as it is or mirrored."""
    mirrored = (found == pictures().flip(-1) / 255).flatten(2).all(2)
    assert (mirrored | (found == pictures() / 255).flatten(2).all(2)).all()
    return mirrored


def test_no_image_is_mirrored_or_moved_unless_asked_for():
    assert torch.equal(shown(), (pictures() / 255).expand(EPOCHS, -1, -1, -1, -1))


def test_half_are_mirrored_anew_in_every_epoch():
    found = mirrors(shown(flip=True))
    assert 0.35 < found.double().mean() < 0.65  # four standard deviations of 240 fair coins
    assert len({tuple(row.tolist()) for row in found}) == EPOCHS


@pytest.mark.parametrize("most", [1, 2])
def test_every_move_up_to_the_largest_is_as_likely_anew_in_every_epoch(most):
    found = moves(shown(shift=most), most)
    for axis in (0, 1):
        counts = torch.bincount(found[..., axis].flatten() + most, minlength=2 * most + 1)
        expected = EPOCHS * ROWS / (2 * most + 1)
        assert ((counts - expected).abs() < 5 * expected**0.5).all()
    assert len({tuple(epoch.flatten().tolist()) for epoch in found}) == EPOCHS


@pytest.mark.parametrize("view", [{"flip": True}, {"shift": 2}], ids=str)
def test_batches_and_accumulation_change_nothing_and_the_seed_does(view):
    found = shown(**view)
    assert torch.equal(found, shown(**view, batch_size=7))
    assert torch.equal(found, shown(**view, accumulate=3))
    assert not torch.equal(found, shown(**view, seed=1))


def test_mirrors_are_the_same_with_and_without_moves():
    mirrored, moved = mirrors(shown(flip=True)), shown(flip=True, shift=1)
    unmirrored = torch.where(mirrored[:, :, None, None, None], moved.flip(-1), moved)
    assert moves(unmirrored, 1).abs().max() == 1


def test_a_negative_move_is_refused():
    with pytest.raises(ModelError, match=r"shift.*0 pixels or more.*-1"):
        TrainConfig(shift=-1)
