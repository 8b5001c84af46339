"""The convolutional encoder: an image to the mean and log standard deviation of its code."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from tnprior_models.nets.cell_layers import CellsToCode
from tnprior_models.nets.conv_features import convolutions, require_shape
from tnprior_models.nets.pyramid import GRID, Normalization, Pyramid

__all__ = ["ConvEncoder"]


class ConvEncoder(nn.Module):
    """Six convolutions and two dense layers: x -> (mu, log_sigma) of a diagonal Gaussian q(z|x).

    Convolutions are 3x3 and follow `Pyramid`; each is followed by group normalisation and SiLU, so an
    image's code never depends on the other images of its batch. Works for any size of at least 8
    pixels a side, even or odd. Architecture: VAE-TTLP (Kuznetsov et al. 2018), which names the layers
    and leaves their sizes open.

    Args:
        image_shape: (C, H, W) of the images.
        latent_size: d, length of the code.
        width: channels of the first convolution.
        hidden: units of the first dense layer.
        normalization: over groups of eight channels, where a layer has a multiple of them, or over all. A model
            whose width is to be compared with another's wants all: groups come and go with the width.
        spatial: a code that is a grid, `CellsToCode`: the dense layers see one cell of the last grid at a time, and
            nearly all parameters are the convolutions'. Drawn faces have bounds ten nats higher then, for as many
            parameters (docs/measured-vae-priors.md). The order of the code is that of `Cells`.
        grid: shorter side that the last grid has at least; the image is halved as often as that allows.

    Raises:
        ModelError: an image shape, a width or a grid that `Pyramid` refuses, or a spatial code whose length is no
            multiple of the number of cells.

    >>> import torch
    >>> mu, log_sigma = ConvEncoder((1, 28, 28), latent_size=16)(torch.rand(2, 1, 28, 28))
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
        spatial: bool = False,
        grid: int = GRID,
    ) -> None:
        super().__init__()
        pyramid = Pyramid(image_shape, width, grid)
        self.image_shape = pyramid.image_shape
        self.latent_size = latent_size
        self.convolutions = convolutions(pyramid, normalization)
        self.dense = (
            CellsToCode(pyramid, latent_size, hidden=hidden)
            if spatial
            else nn.Sequential(
                nn.Linear(pyramid.features, hidden), nn.SiLU(), nn.Linear(hidden, 2 * latent_size)
            )
        )

    def forward(self, x: Float[Tensor, "..."]) -> tuple[Float[Tensor, "B latent"], Float[Tensor, "B latent"]]:
        """Mean and log standard deviation of q(z|x) for images (B, C, H, W) in [0, 1].

        Raises:
            ImageShapeError: images of another size or number of channels.
        """
        require_shape(x, self.image_shape)
        mu, log_sigma = self.dense(self.convolutions(2 * x - 1).flatten(1)).chunk(2, dim=-1)
        return mu, log_sigma
