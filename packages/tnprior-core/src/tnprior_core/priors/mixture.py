"""Gaussian-mixture and standard-normal priors, the baselines, with the same interface."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import final

import torch
from torch import nn

from tnprior_core.distributions.mixture import Mixture
from tnprior_core.distributions.network import TensorTrain
from tnprior_core.errors import SiteError
from tnprior_core.legs import GaussianLegs, LabelLegs, LegGroup, Legs
from tnprior_core.priors.base import Prior
from tnprior_core.priors.components import ComponentsPrior
from tnprior_core.priors.network import LOG_SIGMA_RANGE, TensorTrainPrior, grouped
from tnprior_core.sites import Gaussian, Site

__all__ = ["GaussianMixturePrior", "StandardNormalPrior"]


@final
class GaussianMixturePrior(ComponentsPrior):
    """Mixture of full-dimensional diagonal components that also carry label probabilities.

    `p(z, y) = sum_c pi_c prod_k N(z_k; mu_{k,c}, sigma_{k,c}^2) prod_a p(y_a | c)`: a train with diagonal cores.

    sites
        Gaussian sites (their own `components` are not used) and Categorical ones.
    components
        C, the number of mixture components.
    low, high
        means start uniform in this range.
    width
        standard deviations at the start.
    seed
        of the means.

    Raises SiteError when a setting is impossible.
    Source: Kuznetsov et al. 2019 (TRIP), section 5, the GMM baseline.

    >>> from tnprior_core import Categorical
    >>> prior = GaussianMixturePrior([Gaussian("z0"), Categorical("hat")], components=8)
    >>> prior().marginal("hat").probs.sum()
    tensor(1.)
    """

    def forward(self) -> Mixture:
        """Return the distribution for the current parameters."""
        groups: list[LegGroup] = []
        if self.latents:
            groups.append(
                GaussianLegs(self.latents, self.mean.clone(), self.log_sigma.clamp(*LOG_SIGMA_RANGE))
            )
        for key, group in self.label_groups.items():
            logits = self.label_logits[key]
            groups.append(LabelLegs(group, logits.shape[2], logits.log_softmax(2)))
        return Mixture(Legs(self.sites, groups), self.logits.log_softmax(0))


@final
class StandardNormalPrior(Prior):
    """Standard normal latents and, apart from them, attributes: the prior of a plain VAE and of a CVAE.

    `p(z, y) = N(z; 0, I) p(y)`, where the only parameters are those of `p(y)`: the frequencies of the labels
    (`prod_a p(y_a)`, equal at the start), or a tensor train over the attributes alone. Independent of the
    latents, it says nothing about the attributes of one object beyond how frequent they are; a condition on
    attributes leaves the latents as they are.

    sites
        Gaussian sites (their own `components` are not used) and Categorical ones.
    rank
        of the train over the attributes; None for attributes that are independent of each other.
    seed
        of the noise in the train's cores.

    Raises SiteError when two sites have one name, or for a rank without attributes.
    Source: Kingma and Welling 2014, section 3.

    >>> from tnprior_core import Categorical
    >>> prior = StandardNormalPrior([Gaussian("z0"), Categorical("hat")])
    >>> prior().marginal("z0").log_prob(torch.zeros(()))
    tensor(-0.9189)
    >>> prior().marginal("hat").probs
    tensor([0.5000, 0.5000])
    """

    def __init__(self, sites: Iterable[Site], *, rank: int | None = None, seed: int = 0) -> None:
        """Start from equal frequencies, or from a train of seeded noise."""
        super().__init__(Gaussian(site.name, 1) if isinstance(site, Gaussian) else site for site in sites)
        self.rank = rank
        self.register_buffer("_zeros", torch.zeros(max(len(self.latents), 1), 1), persistent=False)
        self._zeros: torch.Tensor
        attributes = [self.sites[index] for index in self.attributes]
        if rank is not None and not attributes:
            raise SiteError(f"expected attributes for a train of rank {rank}, received latents only")
        self._label_groups = grouped({at: (site.states,) for at, site in enumerate(attributes)})
        self.label_logits = nn.ParameterDict()
        self.chain = None if rank is None else TensorTrainPrior(attributes, rank, seed=seed)
        if rank is None:
            for key, group in self._label_groups.items():
                self.label_logits[key] = nn.Parameter(torch.zeros(len(group), attributes[group[0]].states))

    def forward(self) -> Mixture | TensorTrain:
        """Return the distribution for the current parameters."""
        latents = [GaussianLegs(self.latents, self._zeros, self._zeros)] if self.latents else []
        groups = self._label_legs(self.attributes)
        legs = Legs(self.sites, [*latents, *groups])
        if self.chain is None:
            return Mixture(legs, self._zeros[0])
        cores = self.chain.cores()
        # Bonds of size one keep the latents apart; ones at the last are the train's own boundary vector.
        apart = [self._zeros.new_ones(1, 1, 1)] * len(self.latents)
        if apart:
            apart[-1] = self._zeros.new_ones(1, 1, cores[0].shape[1])
        return TensorTrain(legs, [*apart, *cores], order=(*self.latents, *self.attributes))

    def labels(self) -> Mixture | TensorTrain:
        """Return `p(y)`, the distribution of the attributes alone, for the current parameters.

        Raises SiteError if there are none.

        >>> from tnprior_core import Categorical
        >>> StandardNormalPrior([Gaussian("z0"), Categorical("hat")], rank=2).labels().event_shape
        torch.Size([1])
        """
        if self.chain is not None:
            return self.chain.forward()
        sites = [self.sites[index] for index in self.attributes]
        return Mixture(Legs(sites, self._label_legs(range(len(sites)))), self._zeros[0])

    def _label_legs(self, places: Sequence[int]) -> list[LabelLegs]:
        legs = []
        for key, group in self._label_groups.items():
            where, states = tuple(places[at] for at in group), self.sites[self.attributes[group[0]]].states
            logits = self.label_logits[key].log_softmax(1).unsqueeze(1) if self.chain is None else None
            legs.append(LabelLegs(where, states, logits))
        return legs

    def extra_repr(self) -> str:
        """Name the number of sites and the rank."""
        rank = "" if self.rank is None else f", rank={self.rank}"
        return f"{len(self.latents)} latents, {len(self.attributes)} attributes{rank}"
