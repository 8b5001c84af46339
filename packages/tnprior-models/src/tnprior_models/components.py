"""The distribution of the component indices behind a distribution of values."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution

from tnprior_core import (
    BlockRing,
    Categorical,
    GaussianLegs,
    LabelLegs,
    Legs,
    Mixture,
    TensorRing,
    TensorTrain,
)
from tnprior_models.errors import ModelError

__all__ = ["chosen_components", "component_distribution"]


def component_distribution(p: Distribution) -> Mixture | BlockRing | TensorRing | TensorTrain:
    """`p(s, y)`: the law of the component of every continuous site, and of the labels, for a prior's p(z, y).

    The same network over categorical sites: a value of continuous site k is the index s_k of its component.
    So draws, conditions and gradients of `log p(s | y)` are those of any distribution.

    Raises:
        ModelError: a distribution that is conditioned or marginal, or has no components.

    >>> from tnprior_core import Gaussian, TensorRingPrior
    >>> p = TensorRingPrior([Gaussian("z0", 3), Categorical("hat")], rank=2)()
    >>> s = component_distribution(p)
    >>> s.log_prob(torch.tensor([[k, 1.0] for k in range(3)])).exp().sum() / p.marginal("hat").probs[1]
    tensor(1.0000, grad_fn=<DivBackward0>)
    """
    if not isinstance(p, Mixture | BlockRing | TensorRing | TensorTrain):
        raise ModelError(f"expected a mixture, train or ring with components, received {type(p).__name__}")
    if not p.knowledge.empty or len(p.visible) != len(p.legs.sites):
        raise ModelError(f"expected the distribution of a prior, all sites of it, received {p!r}")
    if isinstance(p, Mixture):
        return Mixture(_indexed(p.legs, emissions=True), p.log_weight)
    if isinstance(p, BlockRing):
        legs = _indexed(p.legs, emissions=True)
        return BlockRing(legs, p.log_weight, p.opening, p.transitions, order=p.order)
    legs = _indexed(p.legs, emissions=False)
    cores = [_padded(core) for core in p.cores]
    return type(p)(legs, cores, order=p.order)


def chosen_components(
    legs: Legs, states: Int[Tensor, "n K"]
) -> tuple[Float[Tensor, "n K"], Float[Tensor, "n K"]]:
    """Mean and standard deviation of the chosen component of every site; 0 and 1 at categorical ones.

    >>> from tnprior_core import Gaussian
    >>> legs = Legs.of([Gaussian("z", 2)], {"z": (torch.tensor([5.0, 7.0]), torch.zeros(2))})
    >>> chosen_components(legs, torch.tensor([[1], [0]]))[0]
    tensor([[7.],
            [5.]])
    """
    groups = [group for group in legs.groups if isinstance(group, GaussianLegs)]
    like = groups[0].mean if groups else torch.empty(0)
    mean, sigma = like.new_zeros(states.shape), like.new_ones(states.shape)
    for group in groups:
        sites = torch.as_tensor(group.sites, device=states.device)
        chosen = states.index_select(1, sites).mT
        mean = mean.index_copy(1, sites, group.mean.gather(1, chosen).mT)
        sigma = sigma.index_copy(1, sites, group.log_sigma.gather(1, chosen).exp().mT)
    return mean, sigma


def _indexed(legs: Legs, *, emissions: bool) -> Legs:
    """The same legs, where a continuous site shows the index of its component."""
    sites, groups = list(legs.sites), []
    for group in legs.groups:
        if isinstance(group, LabelLegs):
            groups.append(group)
            continue
        shown = max(group.states, 2)  # a categorical site has two labels at least; the second is never drawn
        for site in group.sites:
            sites[site] = Categorical(sites[site].name, tuple(map(str, range(shown))))
        certain = torch.eye(group.states, shown, dtype=group.mean.dtype, device=group.mean.device).log()
        emission = certain.expand(len(group.sites), -1, -1) if emissions else None
        groups.append(LabelLegs(group.sites, shown, emission))
    return Legs(sites, groups)


def _padded(core: Tensor) -> Tensor:
    return core if core.shape[0] > 1 else torch.cat([core, torch.zeros_like(core)])
