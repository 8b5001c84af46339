"""The losses of the adversarial games, written for scores: what a critic says before any sigmoid."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

__all__ = [
    "classifying_loss",
    "minmax_cost",
    "nonsaturating_cost",
    "wasserstein_cost",
    "wasserstein_loss",
]


def classifying_loss(real: Float[Tensor, " B"], fake: Float[Tensor, " F"]) -> Float[Tensor, ""]:
    """What a critic minimises that tells real from fake: `-E log D(x) - E log(1 - D(G(z)))`, `D = sigmoid`.

    Nats; 2 log 2 for a critic that cannot tell. Source: Goodfellow et al. 2014, equation 1.

    >>> import torch
    >>> classifying_loss(torch.zeros(3), torch.zeros(3))
    tensor(1.3863)
    """
    return -(logsigmoid(real).mean() + logsigmoid(-fake).mean())


def minmax_cost(fake: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """`log(1 - D(G(z)))`, what generator and prior minimise in the zero-sum game.

    Its gradient vanishes where the critic is sure. Sources: Goodfellow et al. 2014, equation 1; TRIP
    (Kuznetsov et al. 2019), equation 9.

    >>> import torch
    >>> minmax_cost(torch.zeros(1))
    tensor([-0.6931])
    """
    return logsigmoid(-fake)


def nonsaturating_cost(fake: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """`-log D(G(z))`: the same optimum as `minmax_cost`, and a gradient where the critic is sure.

    Source: Goodfellow et al. 2014, section 3.

    >>> import torch
    >>> nonsaturating_cost(torch.zeros(1))
    tensor([0.6931])
    """
    return -logsigmoid(fake)


def wasserstein_loss(real: Float[Tensor, " B"], fake: Float[Tensor, " F"]) -> Float[Tensor, ""]:
    """`E f(G(z)) - E f(x)`, minus the distance that the critic sees. Source: Arjovsky et al. 2017, equation 3.

    >>> import torch
    >>> wasserstein_loss(torch.tensor([3.0]), torch.tensor([1.0]))
    tensor(-2.)
    """
    return fake.mean() - real.mean()


def wasserstein_cost(fake: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """`-f(G(z))`, what generator and prior minimise. Source: Arjovsky et al. 2017, algorithm 1.

    >>> import torch
    >>> wasserstein_cost(torch.tensor([2.0]))
    tensor([-2.])
    """
    return -fake
