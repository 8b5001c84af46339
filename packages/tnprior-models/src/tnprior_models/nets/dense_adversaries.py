"""Generator and critic for vectors: points of the plane, rows of a table."""

from __future__ import annotations

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from tnprior_models.errors import ModelError
from tnprior_models.nets.conv_generator import require_codes

__all__ = ["DenseCritic", "DenseGenerator"]


class DenseGenerator(nn.Module):
    """`z -> x`, vectors of any size: dense layers with ReLU between them, nothing at the end.

    Args:
        latent_size: d, length of the code.
        outputs: length of the vectors.
        width: units of each hidden layer.
        depth: number of hidden layers.

    Raises:
        ModelError: a size below 1.

    >>> import torch
    >>> DenseGenerator(8, 2, width=16)(torch.zeros(3, 8)).shape
    torch.Size([3, 2])
    """

    def __init__(self, latent_size: int, outputs: int, *, width: int = 128, depth: int = 3) -> None:
        super().__init__()
        self.latent_size = latent_size
        self.layers = _dense(latent_size, outputs, width, depth, nn.ReLU())

    def forward(self, z: Float[Tensor, "..."]) -> Float[Tensor, "B D"]:
        """Vectors of codes (B, d).

        Raises:
            ModelError: codes of another length.
        """
        require_codes(z, self.latent_size)
        x: Tensor = self.layers(z)
        return x


class DenseCritic(nn.Module):
    """`x -> (score, label logits)`, (B, 1 + L), of vectors: dense layers with LeakyReLU 0.2 between them.

    Args:
        inputs: length of the vectors.
        labels: L, labels of all attributes together.
        width: units of each hidden layer.
        depth: number of hidden layers.

    Raises:
        ModelError: a size below 1.

    >>> import torch
    >>> DenseCritic(2, labels=3)(torch.zeros(5, 2)).shape
    torch.Size([5, 4])
    """

    def __init__(self, inputs: int, *, labels: int = 0, width: int = 128, depth: int = 3) -> None:
        super().__init__()
        self.inputs = inputs
        self.layers = _dense(inputs, 1 + labels, width, depth, nn.LeakyReLU(0.2))

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "B outputs"]:
        """Score and label logits of vectors (B, D).

        Raises:
            ModelError: vectors of another length.
        """
        if x.ndim != 2 or x.shape[1] != self.inputs:
            raise ModelError(f"expected vectors of shape (B, {self.inputs}), received {tuple(x.shape)}")
        judged: Tensor = self.layers(x)
        return judged


def _dense(inputs: int, outputs: int, width: int, depth: int, activation: nn.Module) -> nn.Sequential:
    if min(inputs, outputs, width, depth) < 1:
        raise ModelError(
            f"expected sizes of at least 1, received {inputs} inputs, {outputs} outputs, width={width}, "
            f"depth={depth}"
        )
    layers: list[nn.Module] = []
    for before, after in pairwise([inputs, *[width] * depth, outputs]):
        layers += [nn.Linear(before, after), activation]
    return nn.Sequential(*layers[:-1])
