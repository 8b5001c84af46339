"""How the encoders of the image alone and of the labels alone learn beside the joint one: JMVAE and TELBO."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from tnprior_models.errors import ModelError
from tnprior_models.losses.multimodal_bound import encoder_divergence, frozen_bound

__all__ = ["JMVAE", "TELBO", "Alignment", "Encodings"]


class Encodings(NamedTuple):
    """What one batch looks like to the three encoders.

    `joint` q(z|x, y_ob), `image` q(z|x), `labels` q(z|y_some) with y_some a random subset of y_ob, `prior` p(z):
    `Independent(Normal)`, batch shape (B,) or (). `log_image` and `log_labels`: codes (S, B, d) -> log p(x|z)
    and sum over y_some of log p(y_a|z), (S, B), their parameters fixed. `samples` S, per example and step.
    """

    joint: Any
    image: Any
    labels: Any
    prior: Any
    log_image: Callable[[Tensor], Tensor]
    log_labels: Callable[[Tensor], Tensor]
    samples: int


@runtime_checkable
class Alignment(Protocol):
    """What is minimised besides minus the joint bound."""

    def terms(self, encodings: Encodings) -> dict[str, Tensor]:
        """Named scalars, nats per example; `"loss"` is added to minus the joint bound."""
        ...


@dataclass(frozen=True)
class JMVAE:
    """`alpha [KL(q(z|x, y) || q(z|x)) + KL(q(z|x, y) || q(z|y_some))]`: JMVAE-kl.

    Source: Suzuki, Nakayama, Matsuo 2016, "Joint multimodal learning with deep generative models",
    equation 5; alpha 0.1 is theirs.

    Args:
        weight: alpha, above 0.

    Raises:
        ModelError: alpha is not above 0.

    >>> JMVAE()
    JMVAE(weight=0.1)
    """

    weight: float = 0.1

    def __post_init__(self) -> None:
        _check_positive("the divergences", self.weight)

    def terms(self, encodings: Encodings) -> dict[str, Tensor]:
        """`kl_image` and `kl_labels`."""
        image = encoder_divergence(encodings.joint, encodings.image)
        labels = encoder_divergence(encodings.joint, encodings.labels)
        return {"loss": self.weight * (image + labels), "kl_image": image, "kl_labels": labels}


@dataclass(frozen=True)
class TELBO:
    """`- elbo(x) - elbo(y_some)`, with log p(y|z) weighted gamma and the decoders fixed: the triple ELBO.

    Source: Vedantam, Fischer, Huang, Murphy 2018, "Generative models of visually grounded imagination",
    section 2; gamma 50 is among their values.

    Args:
        label_weight: gamma, above 0.

    Raises:
        ModelError: gamma is not above 0.

    >>> TELBO()
    TELBO(label_weight=50.0)
    """

    label_weight: float = 50.0

    def __post_init__(self) -> None:
        _check_positive("log p(y|z)", self.label_weight)

    def terms(self, encodings: Encodings) -> dict[str, Tensor]:
        """`image_bound` and `label_bound`, both unweighted."""
        e, gamma = encodings, self.label_weight
        image, image_bound = frozen_bound(e.image, e.prior, e.log_image, weight=1.0, samples=e.samples)
        labels, label_bound = frozen_bound(e.labels, e.prior, e.log_labels, weight=gamma, samples=e.samples)
        return {"loss": -(image + labels), "image_bound": image_bound, "label_bound": label_bound}


def _check_positive(of: str, weight: float) -> None:
    if not weight > 0:
        raise ModelError(
            f"expected a weight of {of} above 0, or their encoders learn nothing; received {weight}"
        )
