"""What a model can do, as small protocols, and the question whether it can.

A command asks for the protocol it needs; which class the model has never matters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar, cast, runtime_checkable

from torch import Tensor, nn

from tnprior_models.errors import CapabilityError
from tnprior_models.objective import Objective

__all__ = [
    "BoundsLikelihood",
    "BoundsSubsets",
    "Decodes",
    "DecodesValues",
    "Draws",
    "Encodes",
    "EncodesLabelled",
    "HasPrior",
    "Imputes",
    "Labelled",
    "PriorWeights",
    "ReadsLabels",
    "Reconstructs",
    "Sampled",
    "Samples",
    "Trains",
    "WeighsPrior",
    "abilities",
    "require",
]


class Sampled(NamedTuple):
    """Objects drawn from a model.

    `x` (n, C, H, W) in [0, 1]; `values` (n, K), the latents and attribute codes in the order of the
    prior's sites; `log_evidence` (), log p(condition) in nats, 0 without a condition: exact, but an estimate
    where the prior is a `DecodedPrior`.
    """

    x: Tensor
    values: Tensor
    log_evidence: Tensor


class Labelled(NamedTuple):
    """What a code means together with: `posterior` q(z|x, y), batch shape (B,), at whole rows of `codes` (B, A)."""

    posterior: Any
    codes: Tensor


class PriorWeights(NamedTuple):
    """Weights of log p(z) and of log p(y_ob|z) in a model's objective; 1 and 1 are the exact bound."""

    latent: float = 1.0
    attributes: float = 1.0


@runtime_checkable
class Trains(Protocol):
    """Declares what a training loop has to minimise."""

    def objectives(self) -> tuple[Objective, ...]:
        """The objectives, in the order in which they are stepped."""
        ...


@runtime_checkable
class Samples(Protocol):
    """Draws objects given any subset of the attributes."""

    def sample(
        self, n: int, given: Mapping[str, Any] | None = None, seed: int | None = None, first: int = 0
    ) -> Sampled:
        """Draw objects `first` to `first + n - 1` of the stream that `seed` names."""
        ...


@runtime_checkable
class Imputes(Protocol):
    """Fills in the missing attributes of an object, with probabilities."""

    def impute(self, x: Tensor, codes: Tensor, observed: Tensor) -> list[Tensor]:
        """For every attribute the probabilities of its labels, (B, C_a)."""
        ...


@runtime_checkable
class ReadsLabels(Protocol):
    """Compares objects by how clearly they show a label; how likely the label is, `Imputes` says."""

    def read_labels(self, x: Tensor) -> list[Tensor]:
        """For every attribute how clearly each object shows its labels, non-negative (B, C_a)."""
        ...


@runtime_checkable
class Reconstructs(Protocol):
    """Encodes an object and decodes it again."""

    def reconstruct(self, x: Tensor) -> Tensor:
        """The decoded mean of the code of `x`, same shape, in [0, 1]."""
        ...


@runtime_checkable
class BoundsLikelihood(Protocol):
    """Bounds log p(x, y_observed) from below by importance sampling."""

    def log_weights(self, x: Tensor, codes: Tensor, observed: Tensor, k: int) -> Tensor:
        """Log importance weights (k, B) in nats; their log mean over k bounds the log-likelihood."""
        ...


@runtime_checkable
class BoundsSubsets(Protocol):
    """Bounds log p(x, y) with several sets of observed labels by the same samples, which know of no label.

    A saving and no ability, so that `abilities` does not list it.
    """

    def log_weights_of(self, x: Tensor, tables: Sequence[tuple[Tensor, Tensor]], k: int) -> Tensor:
        """Log importance weights in nats, (number of tables (codes, observed), k, B)."""
        ...


@runtime_checkable
class Draws(Protocol):
    """Draws the missing attributes of an object jointly (multiple imputation)."""

    def draws(self, x: Tensor, codes: Tensor, observed: Tensor, m: int) -> Tensor:
        """m completed attribute tables, int64 (m, B, A)."""
        ...


@runtime_checkable
class Encodes(Protocol):
    """Maps an object to a distribution over its latent code."""

    def encode(self, x: Tensor) -> Any:
        """The approximate posterior q(z|x), batch shape (B,), event shape (d,)."""
        ...


@runtime_checkable
class EncodesLabelled(Protocol):
    """Maps an object and its labels to a distribution over its latent code, which means nothing without them."""

    def encode_labelled(
        self, x: Tensor, codes: Tensor, observed: Tensor, *, seed: int = 0, first_row: int = 0
    ) -> Labelled:
        """q(z|x, y), the labels that are missing drawn; row b depends on its content, `seed` and `first_row + b`."""
        ...


@runtime_checkable
class Decodes(Protocol):
    """Maps a latent code to an object."""

    def decode(self, z: Tensor) -> Tensor:
        """The mean object in [0, 1], (B, C, H, W)."""
        ...


@runtime_checkable
class DecodesValues(Protocol):
    """Maps a row of the prior's site values, latents and attributes, to an object."""

    def decode_values(self, values: Tensor) -> Tensor:
        """The object in [0, 1] of each row (n, K), (n, C, H, W)."""
        ...


@runtime_checkable
class HasPrior(Protocol):
    """Holds a prior over latents and attributes that can be fitted on its own."""

    prior: nn.Module


@runtime_checkable
class WeighsPrior(Protocol):
    """Says how its objective weighs the prior's terms, which a prior fitted on its own then follows.

    A setting and no ability, so that `abilities` does not list it.
    """

    def prior_weights(self) -> PriorWeights:
        """The weights of log p(z) and of log p(y_ob|z)."""
        ...


PROTOCOLS: Sequence[type] = (
    BoundsLikelihood,
    Decodes,
    DecodesValues,
    Draws,
    Encodes,
    EncodesLabelled,
    HasPrior,
    Imputes,
    ReadsLabels,
    Reconstructs,
    Samples,
    Trains,
)

P = TypeVar("P")


def abilities(model: object) -> tuple[str, ...]:
    """The names of the protocols that `model` satisfies, sorted.

    >>> from torch import nn
    >>> class Mirror(nn.Module):
    ...     def reconstruct(self, x):
    ...         return x
    >>> abilities(Mirror())
    ('Reconstructs',)
    """
    return tuple(protocol.__name__ for protocol in PROTOCOLS if isinstance(model, protocol))


def require(model: object, protocol: Callable[..., P]) -> P:
    """The same model, known to satisfy `protocol`.

    Raises:
        CapabilityError: the model cannot do it; the message names what it can do.

    >>> try:
    ...     require(object(), Samples)
    ... except CapabilityError as error:
    ...     print(error)
    expected a model that satisfies Samples (sample), received object, which satisfies none of the protocols
    """
    wanted = cast(type, protocol)
    if isinstance(model, wanted):
        return cast(P, model)
    members = {**vars(wanted), **getattr(wanted, "__annotations__", {})}
    needs = ", ".join(sorted(name for name in members if not name.startswith("_")))
    has = ", ".join(abilities(model)) or "none of the protocols"
    raise CapabilityError(
        f"expected a model that satisfies {wanted.__name__} ({needs}), "
        f"received {type(model).__name__}, which satisfies {has}"
    )
