"""The set of values a distribution over sites can take, as torch's constraints say it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Num
from torch import Tensor
from torch.distributions import constraints

from tnprior_core.sites import Categorical, Site

__all__ = ["SiteValues"]


class SiteValues(constraints.Constraint):
    """Real numbers for continuous sites, integer codes for categorical ones.

    >>> SiteValues([Categorical("hat")]).check(torch.tensor([[1.0], [2.0]]))
    tensor([ True, False])
    """

    event_dim = 1

    def __init__(self, sites: Sequence[Site]) -> None:
        """Take the sites in the order of the values."""
        self.is_discrete = all(isinstance(site, Categorical) for site in sites)
        self.each: list[Any] = [
            constraints.integer_interval(0, site.states - 1)
            if isinstance(site, Categorical)
            else constraints.real
            for site in sites
        ]

    def check(self, value: Num[Tensor, "*batch K"]) -> Bool[Tensor, "*batch"]:
        """Whether each row of values is possible."""
        found = [each.check(column) for each, column in zip(self.each, value.unbind(-1), strict=True)]
        return torch.stack(found, -1).all(-1)
