"""Batches for training the judge: shuffled, shifted, perhaps mirrored, all from one generator."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int, Int64, UInt8
from torch import Tensor


class LabelledImages(NamedTuple):
    """uint8 images (n, C, H, W), codes int64 (n, A), observed bool (n, A)."""

    x: UInt8[Tensor, "n C H W"]
    codes: Int[Tensor, "n A"]
    observed: Bool[Tensor, "n A"]

    def rows(self, index: Tensor) -> "LabelledImages":
        """The images at an index."""
        return LabelledImages(*(table[index] for table in self))


def split_held_out(
    data: LabelledImages, share: float, generator: torch.Generator
) -> tuple[LabelledImages, LabelledImages]:
    """A random part to train on and the rest, a share of 2 to 5,000 images, to hold out."""
    order = torch.randperm(len(data.x), generator=generator, device="cpu")
    count = min(max(2, round(share * len(order))), 5000)
    return data.rows(order[count:]), data.rows(order[:count])


def shuffled_batches(
    data: LabelledImages, size: int, *, flip: bool, generator: torch.Generator
) -> Iterator[LabelledImages]:
    """Endless shuffled passes of full batches, shifted and mirrored image by image."""
    size = max(2, min(size, len(data.x) // 4))
    while True:
        for index in torch.randperm(len(data.x), generator=generator, device="cpu").split(size):
            if len(index) == size:
                batch = data.rows(index)
                yield batch._replace(x=_jitter(batch.x, flip=flip, generator=generator))


def _jitter(
    x: UInt8[Tensor, "n C H W"], *, flip: bool, generator: torch.Generator
) -> UInt8[Tensor, "n C H W"]:
    """Each image moved by up to a fourteenth of its size (edge pixels repeat) and perhaps mirrored."""
    n, _, height, width = x.shape
    rows = _moved(n, height, generator)
    columns = _moved(n, width, generator)
    if flip:
        mirrored = torch.rand(n, generator=generator, device="cpu") < 0.5
        columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
    moved = x[torch.arange(n, device="cpu")[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def _moved(n: int, size: int, generator: torch.Generator) -> Int64[Tensor, "n size"]:
    """Index (n, size) of source pixels along one axis."""
    most = max(1, size // 14)
    shift = torch.randint(-most, most + 1, (n, 1), generator=generator, device="cpu")
    return (torch.arange(size, device="cpu") + shift).clamp(0, size - 1)
