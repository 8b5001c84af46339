"""An encoder whose code is a grid: every cell of the last convolution has latents of its own."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tnprior_models.nets.cells import Cells
from tnprior_models.nets.conv_features import convolutions, require_shape
from tnprior_models.nets.pyramid import Normalization, Pyramid

__all__ = ["SpatialEncoder"]


class SpatialEncoder(nn.Module):
    """Six convolutions and two dense layers shared by all cells: x -> (mu, log_sigma) of a diagonal q(z|x).

    The convolutions of `ConvEncoder`; the dense layers then see one cell of the last grid at a time, and where it is
    (a bias of each cell). That they are shared leaves nearly all parameters to the convolutions: with as many of
    them in all, drawn faces have bounds ten nats above those of codes of the whole image (docs/learned-priors.md).
    What is far apart in the image is kept together by the prior. The order of the code is that of `Cells`.

    Args:
        image_shape: (C, H, W) of the images.
        latent_size: d, length of the code, a multiple of the number of cells (16 for squares whose side is a power
            of two).
        width: channels of the first convolution.
        hidden: units of the first dense layer.
        normalization: over groups of channels or over all of them.

    Raises:
        ModelError: d is no such multiple.

    >>> mu, log_sigma = SpatialEncoder((1, 28, 28), latent_size=16)(torch.rand(2, 1, 28, 28))
    >>> mu.shape, log_sigma.shape
    (torch.Size([2, 16]), torch.Size([2, 16]))
    """

    def __init__(
        self,
        image_shape: tuple[int, ...],
        latent_size: int,
        *,
        width: int = 32,
        hidden: int = 256,
        normalization: Normalization = "groups",
    ) -> None:
        super().__init__()
        pyramid = Pyramid(image_shape, width)
        self.image_shape = pyramid.image_shape
        self.latent_size = latent_size
        self.cells = Cells(pyramid, latent_size)
        self.convolutions = convolutions(pyramid, normalization)
        self.features = nn.Conv2d(pyramid.channels[-1], hidden, 1)
        self.place = nn.Parameter(torch.zeros(hidden, *pyramid.sizes[-1]))
        self.code = nn.Sequential(nn.SiLU(), nn.Conv2d(hidden, 2 * self.cells.shape[0], 1))

    def forward(self, x: Float[Tensor, "..."]) -> tuple[Float[Tensor, "B latent"], Float[Tensor, "B latent"]]:
        """Mean and log standard deviation of q(z|x) for images (B, C, H, W) in [0, 1].

        Raises:
            ImageShapeError: images of another size or number of channels.
        """
        require_shape(x, self.image_shape)
        mu, log_sigma = self.code(self.features(self.convolutions(2 * x - 1)) + self.place).chunk(2, dim=1)
        return self.cells.to_code(mu), self.cells.to_code(log_sigma)
