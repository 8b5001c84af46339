"""What a Gaussian mixture and a ring of places have in common: Gaussians over all latents at once, with labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tnprior_core.errors import SiteError
from tnprior_core.priors.base import Prior
from tnprior_core.priors.network import LOG_SIGMA_RANGE, grouped
from tnprior_core.seeded import seeded_normal, seeded_uniform
from tnprior_core.sites import Gaussian, Site

__all__ = ["ComponentsPrior"]


class ComponentsPrior(Prior):
    """Common part of the two: C places with a mean and width for every latent, and probabilities of every label."""

    def __init__(
        self,
        sites: Iterable[Site],
        components: int,
        *,
        low: float = -1.0,
        high: float = 1.0,
        width: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Place the means at random and start from equal weights."""
        if components < 1:
            raise SiteError(f"expected components >= 1, received {components}")
        if not 0 < width < math.inf:
            raise SiteError(f"expected a positive width, received {width}")
        super().__init__(
            Gaussian(site.name, components) if isinstance(site, Gaussian) else site for site in sites
        )
        self.components = components
        generator = torch.Generator().manual_seed(seed)
        count = len(self.latents)
        self.mean = nn.Parameter(low + (high - low) * seeded_uniform(count, components, generator=generator))
        self.log_sigma = nn.Parameter(torch.full((count, components), math.log(width)))
        self.logits = nn.Parameter(torch.zeros(components))
        self.label_groups = grouped({index: (self.sites[index].states,) for index in self.attributes})
        self.label_logits = nn.ParameterDict(
            {
                key: nn.Parameter(
                    0.1
                    * seeded_normal(len(group), components, self.sites[group[0]].states, generator=generator)
                )
                for key, group in self.label_groups.items()
            }
        )

    @torch.no_grad()
    def assign_components(
        self,
        weight: Float[Tensor, " C"],
        mean: Float[Tensor, "C d"],
        sigma: Float[Tensor, "C d"],
        labels: Sequence[Float[Tensor, "C _"]],
    ) -> None:
        """Overwrite the components: weights, means, standard deviations, and one label table per attribute."""
        self.logits.copy_(weight.log())
        self.mean.copy_(mean.mT)
        self.log_sigma.copy_(sigma.mT.log().clamp(*LOG_SIGMA_RANGE))
        tables = dict(zip(self.attributes, labels, strict=True))
        for key, group in self.label_groups.items():
            self.label_logits[key].copy_(torch.stack([tables[site].log() for site in group]))

    def extra_repr(self) -> str:
        """Name the sites and the number of components."""
        return f"{len(self.latents)} latents, {len(self.attributes)} attributes, components={self.components}"
