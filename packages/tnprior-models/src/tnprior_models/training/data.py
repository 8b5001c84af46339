"""Examples in memory: images stay uint8, on the device if they fit, and are scaled batch by batch."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from tnprior_models.errors import ModelError
from tnprior_models.objective import Batch

_SHARE_OF_FREE_MEMORY = 0.5


class Examples(Protocol):
    """What a training set offers: images and a partly observed table of attribute codes."""

    @property
    def x(self) -> Tensor:
        """Objects, (n, ...): uint8, or float as the model takes them."""
        ...

    @property
    def codes(self) -> Tensor:
        """Attribute codes, (n, A) int64; anything where not observed."""
        ...

    @property
    def observed(self) -> Tensor:
        """Whether a code is known, (n, A) bool."""
        ...


@dataclass(frozen=True)
class TensorData:
    """`x` (n, ...) uint8 or float, `codes` (n, A) int64, `observed` (n, A) bool.

    Raises:
        ModelError: no examples, lengths or shapes that disagree, or another dtype.

    >>> data = TensorData(
    ...     torch.full((4, 1, 8, 8), 255, dtype=torch.uint8),
    ...     torch.zeros(4, 2, dtype=torch.int64),
    ...     torch.ones(4, 2, dtype=torch.bool),
    ... )
    >>> x, codes, observed = data.batch(torch.tensor([2, 0]), torch.device("cpu"))
    >>> tuple(x.shape), x.max().item()
    ((2, 1, 8, 8), 1.0)
    """

    x: Tensor
    codes: Tensor
    observed: Tensor

    def __post_init__(self) -> None:
        shapes = (
            f"x {tuple(self.x.shape)}, codes {tuple(self.codes.shape)}, observed {tuple(self.observed.shape)}"
        )
        if self.codes.ndim != 2 or self.codes.shape != self.observed.shape or len(self.x) != len(self.codes):
            raise ModelError(f"expected x (n, ...), codes (n, A) and observed (n, A), received {shapes}")
        if len(self.x) == 0:
            raise ModelError(f"expected at least one example, received {shapes}")
        if not (self.x.dtype == torch.uint8 or self.x.is_floating_point()):
            raise ModelError(f"expected x as uint8 or float, received {self.x.dtype}")
        if self.codes.dtype != torch.int64 or self.observed.dtype != torch.bool:
            raise ModelError(
                f"expected codes as int64 and observed as bool, received {self.codes.dtype} "
                f"and {self.observed.dtype}"
            )

    def __len__(self) -> int:
        return len(self.x)

    def near(self, device: torch.device) -> "TensorData":
        """The same data on `device` if it is a CUDA device and they fit comfortably, else where they are."""
        if device.type != "cuda" or self.x.is_cuda:
            return self
        tensors = (self.x, self.codes, self.observed)
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        free, _ = torch.cuda.mem_get_info(device)
        if size > _SHARE_OF_FREE_MEMORY * free:
            return self
        return TensorData(*(tensor.to(device) for tensor in tensors))

    def batch(self, indices: Tensor, device: torch.device) -> Batch:
        """The examples `indices` (B,) on `device`; uint8 objects scaled to [0, 1]."""
        x, codes, observed = (
            tensor[indices.to(tensor.device)].to(device) for tensor in (self.x, self.codes, self.observed)
        )
        if x.dtype == torch.uint8:
            x = x.to(torch.get_default_dtype()) / 255
        return x, codes, observed


def tensor_data(examples: Examples) -> TensorData:
    """Any object with the three tensors, checked."""
    return TensorData(examples.x, examples.codes, examples.observed)
