"""The adversarial games: what a critic, and what generator and prior minimise, and how fast each learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.optim import Optimizer

from tnprior_models.errors import ModelError
from tnprior_models.losses import (
    classifying_loss,
    gradient_penalty,
    minmax_cost,
    nonsaturating_cost,
    sample_norms,
    wasserstein_cost,
    wasserstein_loss,
    zero_centred_penalty,
)
from tnprior_models.losses.gradient_penalty import GradientNorm

__all__ = [
    "ClippedWasserstein",
    "Game",
    "MinMax",
    "NonSaturating",
    "PenalizedWasserstein",
    "clipped_after_step",
]


@runtime_checkable
class Game(Protocol):
    """A family of adversarial losses with the pace at which it is played."""

    @property
    def critic_steps(self) -> int:
        """Updates of the critic per update of generator and prior."""
        ...

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """What the critic minimises of its scores (B,), before the penalty."""
        ...

    def penalty(self, score: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor | None:
        """What is added to it; None where the game has no penalty."""
        ...

    def cost(self, fake: Tensor) -> Tensor:
        """What generator and prior minimise, one number per score, (B,)."""
        ...

    def critic_optimizer(self, parameters: list[Any]) -> Optimizer:
        """The critic's optimiser."""
        ...

    def generator_optimizer(self, parameters: list[Any]) -> Optimizer:
        """The generator's optimiser."""
        ...


@dataclass(frozen=True)
class _AdamPlayed:
    """Adam on both sides, with betas (0.5, 0.9) unless told otherwise, the setting of WGAN-GP and of TRIP."""

    learning_rate: float = 1e-4
    critic_steps: int = 1
    betas: tuple[float, float] = field(default=(0.5, 0.9), kw_only=True)

    def __post_init__(self) -> None:
        _check_pace(self.learning_rate, self.critic_steps)

    def critic_optimizer(self, parameters: list[Any]) -> Optimizer:
        """Adam."""
        return torch.optim.Adam(parameters, lr=self.learning_rate, betas=self.betas)

    def generator_optimizer(self, parameters: list[Any]) -> Optimizer:
        """Adam."""
        return torch.optim.Adam(parameters, lr=self.learning_rate, betas=self.betas)

    def penalty(self, score: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor | None:
        """None."""
        return None


@dataclass(frozen=True)
class MinMax(_AdamPlayed):
    """The zero-sum game `min_{G, p} max_D E log D(x) + E log(1 - D(G(z)))`.

    Source: TRIP (Kuznetsov et al. 2019), equation 9.

    >>> MinMax().cost(torch.zeros(1))
    tensor([-0.6931])
    """

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """`classifying_loss`."""
        return classifying_loss(real, fake)

    def cost(self, fake: Tensor) -> Tensor:
        """`minmax_cost`."""
        return minmax_cost(fake)


@dataclass(frozen=True)
class NonSaturating(_AdamPlayed):
    """The game of a classifying critic in which the generator maximises `log D(G(z))`.

    Args:
        betas: of Adam. Momentum would carry the players past the point at which the penalty lets them rest.
        weight: of `zero_centred_penalty`; 0 for none. With it the game comes to rest, without it may circle.

    Source: Goodfellow et al. 2014, section 3; Mescheder et al. 2018 for the penalty.

    >>> NonSaturating().cost(torch.zeros(1))
    tensor([0.6931])
    """

    betas: tuple[float, float] = field(default=(0.0, 0.99), kw_only=True)
    weight: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight < 0:
            raise ModelError(f"expected weight >= 0, received {self.weight}")

    def penalty(self, score: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor | None:
        """`weight` times `zero_centred_penalty`, None at weight 0."""
        return self.weight * zero_centred_penalty(score, real) if self.weight else None

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """`classifying_loss`."""
        return classifying_loss(real, fake)

    def cost(self, fake: Tensor) -> Tensor:
        """`nonsaturating_cost`."""
        return nonsaturating_cost(fake)


@dataclass(frozen=True)
class PenalizedWasserstein(_AdamPlayed):
    """WGAN-GP: the Wasserstein game with a critic whose slope is pulled to `slope`.

    Args:
        weight: of the penalty.
        slope: the norm asked for. Images come in [0, 1]: 2 is what 1 is for images in [-1, 1].
        norms: `sample_norms`, or `channel_norms` for the published variant.

    Source: Gulrajani et al. 2017, algorithm 1.

    >>> PenalizedWasserstein().critic_steps
    5
    """

    critic_steps: int = 5
    weight: float = 10.0
    slope: float = 1.0
    norms: GradientNorm = sample_norms

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight < 0 or self.slope <= 0:
            raise ModelError(
                f"expected weight >= 0 and slope > 0, received weight={self.weight}, slope={self.slope}"
            )

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """`wasserstein_loss`."""
        return wasserstein_loss(real, fake)

    def penalty(self, score: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor | None:
        """`weight` times `gradient_penalty`."""
        return self.weight * gradient_penalty(score, real, fake, slope=self.slope, norms=self.norms)

    def cost(self, fake: Tensor) -> Tensor:
        """`wasserstein_cost`."""
        return wasserstein_cost(fake)


@dataclass(frozen=True)
class ClippedWasserstein:
    """WGAN: the Wasserstein game with a critic whose weights are clamped to `[-clip, clip]` after every step.

    RMSprop on both sides. Source: Arjovsky et al. 2017, algorithm 1.

    >>> ClippedWasserstein().clip
    0.01
    """

    learning_rate: float = 5e-5
    critic_steps: int = 5
    clip: float = 0.01

    def __post_init__(self) -> None:
        _check_pace(self.learning_rate, self.critic_steps)
        if self.clip <= 0:
            raise ModelError(f"expected clip > 0, received {self.clip}")

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """`wasserstein_loss`."""
        return wasserstein_loss(real, fake)

    def penalty(self, score: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor | None:
        """None."""
        return None

    def cost(self, fake: Tensor) -> Tensor:
        """`wasserstein_cost`."""
        return wasserstein_cost(fake)

    def critic_optimizer(self, parameters: list[Any]) -> Optimizer:
        """RMSprop that clamps what it moved."""
        return clipped_after_step(torch.optim.RMSprop(parameters, lr=self.learning_rate), self.clip)

    def generator_optimizer(self, parameters: list[Any]) -> Optimizer:
        """RMSprop."""
        return torch.optim.RMSprop(parameters, lr=self.learning_rate)


def clipped_after_step(optimizer: Optimizer, limit: float) -> Optimizer:
    """The same optimiser, which from now on clamps its parameters to `[-limit, limit]` after every step.

    >>> weight = torch.nn.Parameter(torch.ones(2))
    >>> optimizer = clipped_after_step(torch.optim.SGD([weight], lr=0.1), 0.5)
    >>> weight.sum().backward()
    >>> optimizer.step()
    >>> weight.tolist()
    [0.5, 0.5]
    """

    @torch.no_grad()
    def clip(stepped: Optimizer, *_: object) -> None:
        for group in stepped.param_groups:
            torch._foreach_clamp_min_(group["params"], -limit)
            torch._foreach_clamp_max_(group["params"], limit)

    optimizer.register_step_post_hook(clip)
    return optimizer


def _check_pace(learning_rate: float, critic_steps: int) -> None:
    if learning_rate <= 0 or critic_steps < 1:
        raise ModelError(
            f"expected learning_rate > 0 and critic_steps >= 1, received {learning_rate} and {critic_steps}"
        )
