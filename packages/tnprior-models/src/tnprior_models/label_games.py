"""How labels enter an adversarial game: read off objects by the critic, or judged together with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from tnprior_models.errors import ModelError

__all__ = ["JudgedLabels", "LabelGame", "ReadLabels"]


@runtime_checkable
class LabelGame(Protocol):
    """What becomes of the logits `l` (B, L) of all labels that a critic gives beside its score."""

    @property
    def weight(self) -> float:
        """w of `- w log C(y_ob | x)`, C the softmax of the logits; 0 where they are no classifier."""
        ...

    @property
    def distance(self) -> float | None:
        """How far apart two labels lie for a penalty on the critic's slope; None if labels are no part of it."""
        ...

    @property
    def matched(self) -> bool:
        """Whether the critic sees objects that are generated for the labels of the real ones, `z ~ p(z | y_ob)`."""
        ...

    def score(self, score: Float[Tensor, " B"], told: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """The critic's score of objects with labels; `told` is `sum_a l[a, y_a]` over the observed labels."""
        ...


@dataclass(frozen=True)
class ReadLabels:
    """The critic is a classifier besides, which learns from real objects and tells what it reads in generated ones.

    A generator can please it with patterns that no real object has, since it never sees generated ones.

    Args:
        weight: w, nats of label likelihood against units of the critic's score.

    Source: the auxiliary classifier of Odena et al. 2017, without their generated objects.

    >>> import torch
    >>> ReadLabels().score(torch.ones(1), torch.ones(1))
    tensor([1.])
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ModelError(f"expected weight >= 0, received {self.weight}")

    @property
    def distance(self) -> None:
        """None: the score is of objects alone."""
        return None

    @property
    def matched(self) -> bool:
        """False, for the same reason."""
        return False

    def score(self, score: Float[Tensor, " B"], told: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """The score as it is."""
        return score


@dataclass(frozen=True)
class JudgedLabels:
    """The critic judges objects and labels together, `D(x, y_ob) = s(x) + sum_a l_a(x)[y_a]`.

    Generated pairs `(G(z), y)` are held against real pairs, with the same labels hidden, so that a label that is not
    shown is as suspicious as an object that is not real. Where s and l are linear in common features, as those of
    `ConvCritic`, this is the projection discriminator of Miyato and Koyama 2018, equation 3.

    Args:
        distance: of the one-hot rows of two labels divided by sqrt(2), in the units of objects, in the space of pairs
            whose gradient `GAN` then has the game penalise: `d D / d (x, distance y) = (d D / dx, l(x) / distance)`.
            Shorter than what a label changes in an object, and a critic finds it nearer to change the label. None:
            objects alone, as for a game whose losses are bounded.
        matched: whether an object is generated for the labels of a real one, `z ~ p(z | y_ob)`, or labels and all,
            `(z, y) ~ p(z, y)`. If so a Wasserstein game measures `E_{y_ob} W(p(x|y_ob), p(G(z)|y_ob))`, what the
            labels leave open. If not it needs a distance: with a penalty along objects alone, labels that the prior
            draws a little more often than the data are scored lower and lower without end.

    Raises:
        ModelError: a distance that is not positive.

    >>> import torch
    >>> JudgedLabels().score(torch.ones(1), torch.ones(1))
    tensor([2.])
    """

    distance: float | None = None
    matched: bool = False

    def __post_init__(self) -> None:
        if self.distance is not None and self.distance <= 0:
            raise ModelError(f"expected distance > 0 or None, received {self.distance}")

    @property
    def weight(self) -> float:
        """0."""
        return 0.0

    def score(self, score: Float[Tensor, " B"], told: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """The score, and what the labels add to it."""
        return score + told
