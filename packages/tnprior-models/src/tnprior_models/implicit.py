"""A generator behind a prior over latents and attributes: it makes objects and has no likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from tnprior_models.decoding import draw_objects
from tnprior_models.layout import SiteLayout
from tnprior_models.protocols import Sampled

__all__ = ["ImplicitModel"]


class ImplicitModel(nn.Module):
    """Objects `x = G(z)` of latents and attributes `(z, y) ~ p(z, y)`, with nothing to train.

    What is left of a `GAN` once its critic has done its work; the prior may be another than the one it was trained
    with (`read_generated`, `fit_prior`).

    Source: Mohamed and Lakshminarayanan 2016, "Learning in implicit generative models", for the name.

    Args:
        generator: codes (B, d) -> objects, images in [0, 1].
        prior: a module whose call returns a distribution over sites; its d continuous sites are the
            latents, its categorical ones the attributes.

    Raises:
        ModelError: no continuous site.

    >>> from tnprior_core import Categorical, Gaussian, TensorTrainPrior
    >>> from tnprior_models.nets import ConvGenerator
    >>> prior = TensorTrainPrior([Gaussian("z0", components=3), Categorical("hat", ("0", "1"))], rank=3)
    >>> model = ImplicitModel(ConvGenerator((1, 8, 8), latent_size=1, width=8), prior)
    >>> model.sample(5, {"hat": "1"}, seed=0).x.shape
    torch.Size([5, 1, 8, 8])
    """

    def __init__(self, generator: nn.Module, prior: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self.prior = prior
        self.layout = SiteLayout.of(prior)

    def decode(self, z: Float[Tensor, "B d"]) -> Float[Tensor, "B ..."]:
        """The object of each code."""
        x: Tensor = self.generator(z)
        return x

    def sample(
        self, n: int, given: Mapping[str, Any] | None = None, seed: int | None = None, first: int = 0
    ) -> Sampled:
        """Draw n objects given any subset of the attributes (or of the latents), the rest summed out.

        Arguments, streams and errors are those of `VAE.sample`.
        """
        return draw_objects(self.prior, self.decode_values, n, given, seed=seed, first=first)

    def decode_values(self, values: Float[Tensor, "n K"]) -> Float[Tensor, "n ..."]:
        """The object of each row of the prior's site values."""
        return self.decode(self.layout.latents_of(values))
