"""How each example is shown in an epoch: mirrored or not, moved by a few pixels or not at all."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tnprior_models.training.config import TrainConfig
from tnprior_models.training.order import derive_seed


class Views:
    """What `TrainConfig.flip` and `TrainConfig.shift` make of the examples of an epoch.

    Drawn for all examples at once, from the seed and the epoch alone: a view does not depend on the batch,
    the process or the part of a batch in which its example comes.
    """

    def __init__(self, count: int, config: TrainConfig) -> None:
        self._count, self._config = count, config
        self._mirrored: Tensor | None = None
        self._moves: Tensor | None = None

    def begin(self, epoch: int, home: torch.device) -> None:
        """Draw for that epoch; the choices go where the data is, once."""
        config = self._config
        if config.flip:
            generator = self._generator("mirror", epoch)
            self._mirrored = (torch.rand(self._count, generator=generator, device="cpu") < 0.5).to(home)
        if config.shift:
            generator = self._generator("shift", epoch)
            most, shape = config.shift, (self._count, 2)
            self._moves = torch.randint(-most, most + 1, shape, generator=generator, device="cpu").to(home)

    def _generator(self, name: str, epoch: int) -> torch.Generator:
        return torch.Generator().manual_seed(derive_seed(name, self._config.seed, epoch))

    def of(self, x: Float[Tensor, "B ..."], indices: Int[Tensor, " B"]) -> Float[Tensor, "B ..."]:
        """The views of the examples at `indices`; what is not mirrored or moved need not be an image."""
        if self._mirrored is not None:
            mirrored = self._mirrored[indices].to(x.device).reshape(-1, *[1] * (x.ndim - 1))
            x = torch.where(mirrored, x.flip(-1), x)
        return x if self._moves is None else _moved(x, self._moves[indices].to(x.device))


def _moved(x: Float[Tensor, "B C H W"], moves: Int[Tensor, "B 2"]) -> Float[Tensor, "B C H W"]:
    """Each image moved down and to the right by its numbers of pixels; pixels of the edge repeat."""
    rows, columns = (
        (torch.arange(size, device=x.device) - moves[:, axis, None]).clamp(0, size - 1)
        for axis, size in enumerate(x.shape[-2:])
    )
    each = torch.arange(len(x), device=x.device)[:, None, None]
    return x[each, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)
