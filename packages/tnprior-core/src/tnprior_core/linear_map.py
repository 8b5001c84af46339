"""A linear change of the latents' axes, as a map that a flow can stand behind."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tnprior_core.coupling import Mapped
from tnprior_core.errors import ShapeError

__all__ = ["LinearMap"]


class LinearMap(nn.Module):
    """An invertible linear map `u = A z`, `log |du/dz| = log |det A|`, that is set and not trained.

    Codes that networks were trained to without this prior lie along axes of their own. A train or ring, whose
    components are independent given their indices, says little about codes that vary along a diagonal; turned, the same
    cores say it. `initialize_from_axes` finds the matrix. Kept with the weights of the prior.

    size
        d, the number of latents; the map starts as the identity.

    >>> turned = LinearMap(2)
    >>> turned.assign(torch.tensor([[0.0, 2.0], [1.0, 0.0]]))
    >>> turned(torch.tensor([[3.0, 5.0]]))
    Mapped(value=tensor([[10.,  3.]]), log_det=tensor([0.6931]))
    """

    def __init__(self, size: int) -> None:
        """Start with the axes as they are."""
        super().__init__()
        self.register_buffer("matrix", torch.eye(size))
        self.matrix: Tensor

    @torch.no_grad()
    def assign(self, matrix: Float[Tensor, "d d"]) -> None:
        """Set A.

        Raises ShapeError for another shape, or a matrix without an inverse.
        """
        if matrix.shape != self.matrix.shape or not bool(torch.linalg.slogdet(matrix)[1].isfinite()):
            raise ShapeError(
                f"expected an invertible matrix of shape {tuple(self.matrix.shape)}, received one of shape "
                f"{tuple(matrix.shape)}, determinant {_determinant(matrix):.3g}"
            )
        self.matrix.copy_(matrix)

    def forward(self, z: Float[Tensor, "n d"]) -> Mapped:
        """Map latents to those of the base."""
        with torch.autocast(z.device.type, enabled=False):
            return Mapped(_times(z, self.matrix), torch.linalg.slogdet(self.matrix)[1].expand(len(z)))

    def inverse(self, u: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Map latents of the base back."""
        with torch.autocast(u.device.type, enabled=False):
            return _times(u, torch.linalg.inv(self.matrix.double()))


def _times(rows: Tensor, matrix: Tensor) -> Tensor:
    # In double precision and then rounded: a product rounds by the number of rows, and a sample must not.
    return (rows.double() @ matrix.double().mT).to(rows.dtype)


def _determinant(matrix: Tensor) -> float:
    square = matrix.dim() == 2 and matrix.shape[0] == matrix.shape[1]
    return float(torch.linalg.det(matrix)) if square else float("nan")
