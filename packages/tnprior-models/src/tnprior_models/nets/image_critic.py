"""What critics of images have in common: convolutions, then one dense layer for the score and the labels' logits."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from tnprior_models.nets.conv_features import require_shape

__all__ = ["ImageCritic"]


class ImageCritic(nn.Module):
    """`x -> W flatten(convolutions(2 x - 1)) + b`, (B, 1 + L): column 0 is the score, the others are logits.

    Args:
        image_shape: (C, H, W).
        convolutions: images in [-1, 1] to features.
        features: how many there are of one image.
        labels: L, labels of all attributes together.

    >>> import torch
    >>> ImageCritic((1, 8, 8), nn.Conv2d(1, 2, 8), 2, labels=3)(torch.rand(5, 1, 8, 8)).shape
    torch.Size([5, 4])
    """

    def __init__(
        self, image_shape: tuple[int, ...], convolutions: nn.Module, features: int, *, labels: int
    ) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.convolutions = convolutions
        self.dense = nn.Linear(features, 1 + labels)

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "B outputs"]:
        """Score and label logits of images (B, C, H, W) in [0, 1].

        Raises:
            ImageShapeError: images of another size or number of channels.
        """
        require_shape(x, self.image_shape)
        judged: Tensor = self.dense(self.convolutions(2 * x - 1).flatten(1))
        return judged
