"""What a distribution has been conditioned on, in normal form: exact values and soft likelihoods.

Conditions compose: likelihoods multiply, intervals intersect, and two different exact values of one site
contradict each other. Every tensor has a leading axis `Be`, one for evidence shared by the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from tnprior_core.errors import ShapeError
from tnprior_core.normal import log_normal

__all__ = ["Exact", "Knowledge", "SoftLabels", "SoftNormal"]


@dataclass(frozen=True)
class Exact:
    """A table of known values: `values` and `known` (Be, K), and the columns anybody touched."""

    values: Tensor
    known: Tensor
    # A set and no frozenset, which the compiler of torch 2.8 cannot carry over a graph break.
    columns: Set[int]
    complete: bool = False
    """Whether all columns are known of all examples, so that no mask is needed."""


@dataclass(frozen=True)
class SoftLabels:
    """A likelihood over the labels of a categorical site: `log_likelihood` (Be, C), nats."""

    log_likelihood: Tensor

    def meet(self, other: SoftLabels) -> SoftLabels:
        """Multiply two likelihoods."""
        return SoftLabels(self.log_likelihood + other.log_likelihood)

    def at(self, code: Tensor) -> Tensor:
        """Log-likelihood (B,) of integer codes (B,), either of them shared by the batch or not."""
        rows, codes = self.log_likelihood, code.unsqueeze(1)
        batch = torch.broadcast_shapes(rows.shape[:1], codes.shape[:1])
        return rows.expand(*batch, -1).gather(1, codes.expand(*batch, 1)).squeeze(1)


@dataclass(frozen=True)
class SoftNormal:
    """A likelihood of a continuous site: `exp(log_constant) N(value; z, exp(log_sigma)^2) 1[low <= z <= high]`.

    `log_sigma` is infinite where nothing was measured; all fields are (Be,).
    """

    value: Tensor
    log_sigma: Tensor
    log_constant: Tensor
    low: Tensor
    high: Tensor

    def meet(self, other: SoftNormal) -> SoftNormal:
        """Multiply two likelihoods: N(a; z, s^2) N(b; z, t^2) = N(a; b, s^2 + t^2) N(c; z, u^2)."""
        zero = torch.zeros((), dtype=self.value.dtype, device=self.value.device)
        both = self.measured & other.measured
        first, second = (torch.where(both, x.log_sigma, zero) for x in (self, other))
        # In logarithms: the square of a tiny standard deviation has no place in a float.
        share = torch.sigmoid(2 * (second - first))
        value = torch.where(
            both,
            share * self.value + (1 - share) * other.value,
            torch.where(self.measured, self.value, other.value),
        )
        log_sigma = torch.where(
            both,
            -0.5 * torch.logaddexp(-2 * first, -2 * second),
            torch.minimum(self.log_sigma, other.log_sigma),
        )
        overlap = log_normal(self.value, other.value, 0.5 * torch.logaddexp(2 * first, 2 * second))
        log_constant = self.log_constant + other.log_constant + torch.where(both, overlap, zero)
        low, high = torch.maximum(self.low, other.low), torch.minimum(self.high, other.high)
        return SoftNormal(*torch.broadcast_tensors(value, log_sigma, log_constant, low, high))

    @property
    def measured(self) -> Tensor:
        """Where there is a measurement at all."""
        return torch.isfinite(self.log_sigma)

    def at(self, value: Tensor) -> Tensor:
        """Log-likelihood (B,) of values (B,)."""
        log_sigma = torch.where(self.measured, self.log_sigma, torch.zeros_like(self.log_sigma))
        measured = torch.where(
            self.measured, log_normal(self.value, value, log_sigma), torch.zeros_like(value)
        )
        inside = (self.low <= value) & (value <= self.high)
        return torch.where(inside, measured + self.log_constant, torch.full_like(measured, -torch.inf))


Soft = SoftLabels | SoftNormal


@dataclass(frozen=True)
class Knowledge:
    """Everything known: exact values, soft likelihoods by site, and rows that contradict themselves.

    batch
        None if all of it is shared, else the number of examples B. Tensors that are shared keep a leading one.
    """

    exact: Exact | None = None
    soft: Mapping[int, Soft] = field(default_factory=dict)
    impossible: Tensor | None = None
    batch: int | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing is known."""
        return self.exact is None and not self.soft

    @property
    def rows(self) -> int:
        """How many different answers there are: B, or one."""
        return 1 if self.batch is None else self.batch

    def with_soft(self, site: int, soft: Soft, batch: int | None) -> Knowledge:
        """Add a likelihood of one site."""
        held, joint = self.soft.get(site), _joint(self.batch, batch)
        met = soft if held is None else held.meet(soft)  # type: ignore[arg-type]
        return replace(self, soft={**self.soft, site: met}, batch=joint)

    def with_exact(self, new: Exact, batch: int | None) -> Knowledge:
        """Add exact values; a site that already has another value makes its example impossible."""
        held, joint = self.exact, _joint(self.batch, batch)
        if held is None:
            return replace(self, exact=new, batch=joint)
        both = held.known & new.known
        clash = (both & (held.values != new.values)).any(1)
        merged = Exact(
            values=torch.where(new.known, new.values, held.values),
            known=held.known | new.known,
            columns=held.columns | new.columns,
        )
        impossible = clash if self.impossible is None else clash | self.impossible
        return replace(self, exact=merged, impossible=impossible, batch=joint)

    def expand(self, repeats: int) -> Knowledge:
        """Repeat per-example knowledge `repeats` times (outermost), for queries with sample dimensions."""
        if self.batch is None or repeats == 1:
            return self
        device = next(iter(self._tensors())).device
        return self.select(torch.arange(self.batch, device=device).repeat(repeats))

    def select(self, which: Tensor) -> Knowledge:
        """Take the knowledge of the examples `which` (S,), a long tensor; what is shared stays shared."""
        if self.batch is None:
            return self
        size = self.batch

        def take(value: Tensor) -> Tensor:
            return value if value.shape[0] != size else value.index_select(0, which)

        exact = self.exact and replace(
            self.exact, values=take(self.exact.values), known=take(self.exact.known)
        )
        soft = {
            site: type(held)(**{name: take(value) for name, value in vars(held).items()})
            for site, held in self.soft.items()
        }
        impossible = None if self.impossible is None else take(self.impossible)
        return Knowledge(exact, soft, impossible, len(which))

    def contradict(self, mass: Tensor) -> Tensor:
        """Log masses (B,), minus infinity where two exact values of one site disagree."""
        if self.impossible is None:
            return mass
        return torch.where(self.impossible, torch.full_like(mass, -torch.inf), mass)

    def _tensors(self) -> list[Tensor]:
        exact = [] if self.exact is None else [self.exact.values]
        return exact + [value for held in self.soft.values() for value in vars(held).values()]


def _joint(first: int | None, second: int | None) -> int | None:
    if first is None or second is None or first == second:
        return second if first is None else first
    if 1 not in (first, second):
        raise ShapeError(f"expected evidence for {first} examples, as before, received it for {second}")
    return first if second == 1 else second
