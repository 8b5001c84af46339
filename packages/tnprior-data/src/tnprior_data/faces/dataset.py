"""`faces`: 12,000 drawn faces, 32x32 colour, with eleven binary attributes."""

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from tnprior_data.card import Card
from tnprior_data.coded import coded_records
from tnprior_data.dataset import Records
from tnprior_data.errors import DataError
from tnprior_data.images import fit_arrays
from tnprior_data.request import Request
from tnprior_data.streams import uniform

from .attributes import faces_distribution
from .canvas import SIDE
from .draw import NUISANCES, draw

SIZES = {"train": 10_000, "test": 2_000}
BLOCK = 256
CARD = Card(
    name="faces",
    description="12,000 drawn faces, 32x32 colour, with eleven binary attributes of known joint distribution",
    licence="Apache-2.0 (drawn by this package)",
    citation="",
    schema=faces_distribution().schema,
    shape=(3, SIDE, SIDE),
)


def draw_faces(
    count: int, *, seed: int = 0, first: int = 0
) -> tuple[UInt8[Tensor, "n 3 32 32"], Int64[Tensor, "n A"]]:
    """Draw faces number `first` to `first + count - 1` of the endless series that the seed names.

    Face i depends on the seed and on i only: any part of a series can be drawn alone.

    Returns:
        Images (n, 3, 32, 32) uint8 and codes (n, A) int64 in the order of `faces_distribution().schema`.

    Raises:
        DataError: a negative number.

    >>> images, codes = draw_faces(3, seed=1, first=5)
    >>> torch.equal(images[1:], draw_faces(2, seed=1, first=6)[0])
    True
    """
    if count < 0 or first < 0:
        raise DataError(f"count and first must not be negative; got {count} and {first}")
    images, codes = _series(count, first, "seed", seed)
    return torch.from_numpy(images), torch.from_numpy(codes)


def read(request: Request) -> Records:
    """10,000 faces for training and 2,000 for testing, always the same."""
    images, codes = _series(SIZES[request.split], 0, "split", request.split)
    return coded_records(fit_arrays(images, request.fit, CARD.name), codes, CARD.schema, CARD.name)


def _series(count: int, first: int, *words: object) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    truth = faces_distribution()
    attributes = len(truth.schema)
    u = _uniform(count, first, attributes + NUISANCES, words)
    codes = truth.codes(torch.from_numpy(u[:, :attributes])).numpy()
    named = {a.name: codes[:, k] for k, a in enumerate(truth.schema)}
    return draw(named, u[:, attributes:]), codes


def _uniform(count: int, first: int, width: int, words: tuple[object, ...]) -> npt.NDArray[np.float64]:
    """Rows `first` to `first + count` of a stream that is cut into blocks, so that any part is cheap."""
    blocks = range(first // BLOCK, -(-(first + count) // BLOCK))
    drawn = [uniform(BLOCK * width, "faces", *words, block).reshape(BLOCK, width) for block in blocks]
    if not drawn:
        return np.empty((0, width))
    start = first - blocks[0] * BLOCK
    return np.concatenate(drawn)[start : start + count]
