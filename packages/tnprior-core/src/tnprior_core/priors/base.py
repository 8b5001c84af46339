"""What all priors share: a module whose `forward()` returns a distribution over its sites."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import nn

from tnprior_core.sites import Categorical, Gaussian, Site, check_sites

if TYPE_CHECKING:
    from tnprior_core.distributions.base import SiteDistribution

__all__ = ["Prior"]


class Prior(nn.Module, ABC):
    """A trainable distribution over named sites: parameters live here, probability in what `forward()` returns.

    sites
        Gaussian and Categorical sites with different names; values come in this order.
    """

    def __init__(self, sites: Iterable[Site]) -> None:
        """Keep the sites."""
        super().__init__()
        self.sites = check_sites(sites)

    @property
    def latents(self) -> tuple[int, ...]:
        """Positions of the continuous sites."""
        return tuple(index for index, site in enumerate(self.sites) if isinstance(site, Gaussian))

    @property
    def attributes(self) -> tuple[int, ...]:
        """Positions of the categorical sites."""
        return tuple(index for index, site in enumerate(self.sites) if isinstance(site, Categorical))

    @abstractmethod
    def forward(self) -> SiteDistribution:
        """Return the distribution for the current parameters; call it once per parameter update."""
