"""Where latents and attributes stand among the sites of a prior."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from tnprior_core import Categorical, Gaussian
from tnprior_models.errors import ModelError

__all__ = ["SiteLayout"]


class SiteLayout(nn.Module):
    """Joins latent codes and attribute codes into a table of site values, and parts them again.

    Latents are the continuous sites in their order, attributes the categorical ones in theirs; how the
    two are interleaved is the prior's own business.

    Args:
        sites: the sites of a prior.

    Raises:
        ModelError: no continuous site.

    >>> from tnprior_core import Categorical, Gaussian
    >>> layout = SiteLayout([Categorical("hat", ("0", "1")), Gaussian("z0", components=2)])
    >>> layout.join(torch.tensor([[0.5]]), torch.tensor([[1]]))
    tensor([[1.0000, 0.5000]])
    """

    latents: Tensor
    attributes: Tensor
    inverse: Tensor

    def __init__(self, sites: Sequence[Gaussian | Categorical]) -> None:
        super().__init__()
        latents = [k for k, site in enumerate(sites) if isinstance(site, Gaussian)]
        self.categorical = tuple(site for site in sites if isinstance(site, Categorical))
        attributes = [k for k, site in enumerate(sites) if isinstance(site, Categorical)]
        if not latents:
            raise ModelError("expected a prior with at least one continuous site, received none")
        self.latent_size = len(latents)
        order = torch.tensor(latents + attributes)
        self.register_buffer("latents", order[: len(latents)], persistent=False)
        self.register_buffer("attributes", order[len(latents) :], persistent=False)
        self.register_buffer("inverse", order.argsort(), persistent=False)

    @classmethod
    def of(cls, prior: nn.Module) -> "SiteLayout":
        """The layout of a prior's sites.

        Raises:
            ModelError: the module has no sites, or none of them is continuous.
        """
        sites = getattr(prior, "sites", None)
        if sites is None:
            raise ModelError(
                f"expected a prior with `sites` (Gaussian and Categorical), received {type(prior).__name__}"
            )
        return cls(sites)

    def join(self, z: Float[Tensor, "... d"], codes: Int[Tensor, "... A"]) -> Float[Tensor, "... K"]:
        """Site values of latents `z` and attribute `codes`; leading axes are broadcast."""
        codes = codes.to(z.dtype).expand(*z.shape[:-1], codes.shape[-1])
        return torch.cat([z, codes], dim=-1).index_select(-1, self.inverse)

    def mask(self, z: Float[Tensor, "... d"], observed: Bool[Tensor, "... A"]) -> Bool[Tensor, "... K"]:
        """The mask that goes with `join`: every latent is known, attributes where `observed`."""
        known = torch.ones_like(z, dtype=torch.bool)
        observed = observed.expand(*z.shape[:-1], observed.shape[-1])
        return torch.cat([known, observed], dim=-1).index_select(-1, self.inverse)

    def latents_of(self, values: Float[Tensor, "... K"]) -> Float[Tensor, "... d"]:
        """The latent columns of a table of site values."""
        return values.index_select(-1, self.latents)

    def codes_of(self, values: Float[Tensor, "... K"]) -> Int[Tensor, "... A"]:
        """The attribute columns as integer codes."""
        return values.index_select(-1, self.attributes).round().long()

    def check(self, codes: Tensor, observed: Tensor) -> None:
        """Check an attribute table (B, A) and its mask.

        Raises:
            ModelError: the numbers of columns or rows differ from what is expected.
        """
        expected = len(self.categorical)
        if codes.shape != observed.shape or codes.shape[-1] != expected:
            raise ModelError(
                f"expected codes and mask of shape (B, {expected}), one column for each of "
                f"{[site.name for site in self.categorical]}, received {tuple(codes.shape)} "
                f"and {tuple(observed.shape)}"
            )
