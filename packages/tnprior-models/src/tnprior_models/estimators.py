"""How a prior learns from costs of its samples: three unbiased gradients of an expected cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from tnprior_core import Categorical
from tnprior_models.components import chosen_components, component_distribution
from tnprior_models.errors import ModelError
from tnprior_models.losses import score_function

__all__ = ["Costs", "Estimated", "Estimator", "Pathwise", "Reinforce", "ReparametrizedMeans"]

Costs: TypeAlias = Callable[[Tensor], Tensor]
"""Values (n, K) of a prior's sites -> costs (n,), lower is better, each of its own row alone."""


class Estimated(NamedTuple):
    """Samples of a prior and what they tell about an expected cost.

    `values` (n, K); `cost` (n,); `loss` () has the value of the mean cost and its backward pass gives the
    estimated gradient, for the prior and for whatever else the costs depend on (a generator).
    """

    values: Tensor
    cost: Tensor
    loss: Tensor


@runtime_checkable
class Estimator(Protocol):
    """An unbiased estimate of `grad E_{p(y)} E_{p(z|y)}[cost]`, the gradient with respect to p(z|y).

    The labels' own distribution p(y) is what the data say, not what a critic finds easiest to please: it is
    held fixed here, `E_{p(y)}` draws without a gradient, and what moves it is `log_evidence` of observed labels
    (`GAN.prior_loss` adds it). Without attributes this is `grad E_{p(z)}[cost]`.
    """

    def __call__(self, distribution: Any, n: int, cost: Costs) -> Estimated:
        """Draw n samples from torch's global generator and estimate."""
        ...


@dataclass(frozen=True)
class Reinforce:
    """The score function: `(1/n) sum_i (d_i - mean_{j != i} d_j) grad log p(z_i | y_i)`.

    Needs nothing but samples and densities, so it serves any prior and any cost; the noisiest of the three.
    Source: TRIP (Kuznetsov et al. 2019), equation 10, with a baseline that leaves the sample out.

    >>> from tnprior_core import Gaussian, TensorRingPrior
    >>> prior = TensorRingPrior([Gaussian("z0", 4), Gaussian("z1", 4)], rank=2)
    >>> found = Reinforce()(prior(), 8, lambda values: values.sum(-1))
    >>> found.loss.backward()
    >>> found.values.shape, bool(next(iter(prior.raw_cores.values())).grad.abs().sum() > 0)
    (torch.Size([8, 2]), True)
    """

    def __call__(self, distribution: Any, n: int, cost: Costs) -> Estimated:
        """Draw, cost, and weigh the scores."""
        values = distribution.sample((n,))
        costs = cost(values)
        log_p = _log_free_given_labels(distribution, values)
        return Estimated(values, costs, score_function(log_p, costs.to(log_p.dtype)))


@dataclass(frozen=True)
class ReparametrizedMeans:
    """Components by the score function, what they draw by its path: `z = mu_s + sigma_s eps`, `s ~ p(s | y)`.

    Gradients of means and widths come through the cost itself; only the choice of components needs scores
    `(d_i - mean_{j != i} d_j) grad log p(s_i | y_i)`. Needs a cost that is differentiable in the values.

    Raises:
        ModelError: a distribution without components, see `component_distribution`.

    >>> from tnprior_core import Gaussian, TensorRingPrior
    >>> prior = TensorRingPrior([Gaussian("z0", 4), Gaussian("z1", 4)], rank=2)
    >>> ReparametrizedMeans()(prior(), 8, lambda values: values.sum(-1)).loss.backward()
    >>> round(sum(mean.grad.sum().item() for mean in prior.mean.values()), 5)
    2.0
    """

    def __call__(self, distribution: Any, n: int, cost: Costs) -> Estimated:
        """Draw components, then values; cost, and weigh the scores of the components."""
        components = component_distribution(distribution)
        drawn = components.sample((n,))
        mean, sigma = chosen_components(distribution.legs, drawn.round().long())
        label = _label_columns(distribution, drawn.device)
        values = torch.where(label, drawn.to(mean.dtype), mean + sigma * torch.randn_like(mean))
        costs = cost(values)
        log_p = components.log_prob(drawn) - _log_labels(components, drawn, label)
        return Estimated(values, costs, score_function(log_p, costs.to(log_p.dtype)))


@dataclass(frozen=True)
class Pathwise:
    """Gradients along the path of each sample, through `rsample` of the distribution; no scores at all.

    The least noisy of the three where the components overlap. Needs a distribution with `has_rsample` and a
    cost that is differentiable in the values. Labels are drawn first, without a gradient, and the path is that of z
    given them: p(y) stays where it is, see `Estimator`.

    Args:
        floor: handed to `rsample` if above 0: a little bias against the huge steps of rare values between
            components far apart.

    Raises:
        ModelError: the distribution has no `rsample`.

    >>> from torch.distributions import Independent, Normal
    >>> class Shifted(torch.nn.Module):
    ...     sites = ()
    ...
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.mean = torch.nn.Parameter(torch.zeros(2))
    ...
    ...     def forward(self):
    ...         return Independent(Normal(self.mean, 1.0), 1)
    >>> prior = Shifted()
    >>> Pathwise()(prior(), 8, lambda values: values.sum(-1)).loss.backward()
    >>> prior.mean.grad
    tensor([1., 1.])
    """

    floor: float = 0.0

    def __call__(self, distribution: Any, n: int, cost: Costs) -> Estimated:
        """Draw with a gradient, and cost."""
        if not distribution.has_rsample:
            raise ModelError(
                f"expected a distribution with rsample, received {type(distribution).__name__}; "
                "use Reinforce or ReparametrizedMeans"
            )
        names = _label_names(distribution)
        options = {"floor": self.floor} if self.floor > 0 else {}
        if names:
            with torch.no_grad():
                labels = distribution.marginal(names).sample((n,)).round().long()
            given = dict(zip(names, labels.unbind(-1), strict=True))
            values = distribution.condition(given).rsample((), **options)
        else:
            values = distribution.rsample((n,), **options)
        costs = cost(values)
        return Estimated(values, costs, costs.mean())


def _label_names(distribution: Any) -> list[str]:
    sites = getattr(distribution, "sites", ())
    return [site.name for site in sites if isinstance(site, Categorical)]


def _label_columns(distribution: Any, device: torch.device) -> Tensor:
    kinds = [isinstance(site, Categorical) for site in distribution.sites]
    return torch.tensor(kinds, dtype=torch.bool, device=device)


def _log_labels(distribution: Any, values: Tensor, label: Tensor) -> Tensor:
    """log p(y) of the labels among the values, (n,); zero where there are none."""
    if not bool(label.any()):
        return values.new_zeros(values.shape[:-1])
    found: Tensor = distribution.log_prob(values, observed=label.expand_as(values))
    return found


def _log_free_given_labels(distribution: Any, values: Tensor) -> Tensor:
    """log p(z | y), (n,)."""
    if not _label_names(distribution):
        found: Tensor = distribution.log_prob(values)
        return found
    label = _label_columns(distribution, values.device)
    everything = torch.ones_like(values, dtype=torch.bool)
    masks = torch.stack([everything, label.expand_as(values)])
    both: Tensor = distribution.log_prob(torch.stack([values, values]), observed=masks)
    return both[0] - both[1]
