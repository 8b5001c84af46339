"""This process's share of every batch of a run."""

import torch
from torch import Tensor

from tnprior_models.training.config import TrainConfig
from tnprior_models.training.data import TensorData
from tnprior_models.training.distributed import Group
from tnprior_models.training.order import batch_count, bounds, epoch_order
from tnprior_models.training.stepper import Part
from tnprior_models.training.views import Views


class Batches:
    """The batches of an epoch, the same for any number of processes; each takes its adjacent share.

    Attributes:
        count: batches in an epoch.
    """

    def __init__(self, data: TensorData, config: TrainConfig, group: Group, device: torch.device) -> None:
        self._data, self._config, self._group, self._device = data, config, group, device
        self.count = batch_count(len(data), config.batch_size)
        self._order = torch.empty(0, dtype=torch.int64, device="cpu")
        self._views = Views(len(data), config)

    def begin(self, epoch: int) -> None:
        """Shuffle for that epoch; the permutation goes where the data is, once."""
        count, seed, home = len(self._data), self._config.seed, self._data.x.device
        self._order = epoch_order(count, seed, epoch).to(home)
        self._views.begin(epoch, home)

    def parts(self, batch: int) -> tuple[list[Part], int]:
        """This process's share of a batch in the parts of gradient accumulation, and its number of examples.

        A process without a share computes the batch's first example with weight 0.
        """
        start, stop = bounds(len(self._data), self.count)[batch]
        first, last = bounds(stop - start, self._group.world)[self._group.rank]
        share = self._order[start + first : start + last]
        if len(share) == 0:
            return [self._part(self._order[start : start + 1], weight=0.0, share=0.0)], 0
        pieces = [share[low:high] for low, high in bounds(len(share), self._config.accumulate) if high > low]
        scale = self._group.world / (stop - start)  # DDP divides the sum over processes by their number
        return [
            self._part(piece, weight=len(piece) * scale, share=len(piece) / len(share)) for piece in pieces
        ], len(share)

    def _part(self, indices: Tensor, *, weight: float, share: float) -> Part:
        x, codes, observed = self._data.batch(indices, self._device)
        return Part((self._views.of(x, indices), codes, observed), weight, share)
