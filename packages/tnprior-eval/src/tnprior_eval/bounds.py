"""Lower bounds on the log-likelihood from importance weights: ELBO and IWAE-k, nats and bits per dimension."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from tnprior_eval.errors import ShapeError
from tnprior_eval.estimate import Estimate, mean_estimate
from tnprior_eval.pixels import PixelConvention
from tnprior_eval.protocol import Protocol
from tnprior_eval.result import Result, Row

Draw = Callable[[int], Tensor]


class ExampleBounds(NamedTuple):
    """Bounds of each example, float64 (B,): ELBO and IWAE-k in nats, effective number of samples."""

    elbo: Float64[Tensor, " B"]
    iwae: Float64[Tensor, " B"]
    effective: Float64[Tensor, " B"]


def importance_bounds(weights: Tensor | Draw, k: int, *, chunk: int = 16) -> ExampleBounds:
    r"""Both bounds of a batch from k log importance weights each.

    $\mathrm{ELBO} = \frac1k \sum_i \log w_i$, $\mathrm{IWAE}_k = \log \frac1k \sum_i w_i$ with
    $\log w_i = \log p(x|z_i) + \log p(z_i) - \log q(z_i|x)$, $z_i \sim q(z|x)$ (Burda et al. 2016, eq. 8).
    Running sums are kept in float64; never more than `chunk` rows exist at a time.

    Args:
        weights: log weights (k, B), or a function that draws that many new rows: `draw(c)` -> (c, B).
        k: number of samples.
        chunk: most rows asked of `draw` at once.

    Raises:
        ShapeError: for another shape, fewer rows than asked, NaN or +inf.

    >>> bounds = importance_bounds(torch.tensor([[0.0], [0.0]]), 2)
    >>> float(bounds.elbo), float(bounds.iwae), float(bounds.effective)
    (0.0, 0.0, 2.0)
    """
    if k < 1 or chunk < 1:
        raise ShapeError(f"expected at least one sample and one row a chunk, received k={k}, chunk={chunk}")
    if isinstance(weights, Tensor):
        _check_rows(weights, k)
        chunks = iter(weights.split(chunk))
    else:
        chunks = (weights(min(chunk, k - start)) for start in range(0, k, chunk))
    total = first = second = torch.zeros(())
    for done, start in enumerate(range(0, k, chunk)):
        rows = next(chunks)
        _check_rows(rows, min(chunk, k - start))
        rows = rows.detach().double()
        once, twice = rows.logsumexp(dim=0), (2 * rows).logsumexp(dim=0)
        total = rows.sum(dim=0) + (total if done else 0.0)
        first = torch.logaddexp(first, once) if done else once
        second = torch.logaddexp(second, twice) if done else twice
    return ExampleBounds(
        total / k, first - math.log(k), torch.nan_to_num((2 * first - second).exp(), nan=0.0)
    )


def _check_rows(rows: Tensor, count: int) -> None:
    if rows.ndim != 2 or len(rows) != count:
        raise ShapeError(f"expected log weights of shape ({count}, B), received {tuple(rows.shape)}")
    if bool((torch.isnan(rows) | (rows == math.inf)).any()):
        raise ShapeError(
            "expected log weights that are finite or -inf, received NaN or +inf; the model has diverged"
        )


@dataclass(frozen=True, kw_only=True)
class BoundResult(Result):
    """Mean bounds over examples (higher is better in nats, lower in bits per dimension).

    The standard errors are over examples and contain the noise of the k samples.

    Args:
        elbo, iwae: nats per example.
        elbo_bits, iwae_bits: bits per dimension; `None` without a `PixelConvention`.
        effective_samples: mean effective sample size of the weights, between 1 and k; near 1 means that
            IWAE-k is still far from the likelihood.
        k: number of samples.
    """

    metric: ClassVar[str] = "likelihood-bound"
    elbo: Estimate
    iwae: Estimate
    elbo_bits: Estimate | None
    iwae_bits: Estimate | None
    effective_samples: Estimate
    k: int

    def rows(self) -> tuple[Row, ...]:
        """Both bounds in nats, then in bits per dimension, then the effective sample size."""
        numbers = {f"{self.label}/elbo": self.elbo, f"{self.label}/iwae-{self.k}": self.iwae}
        if self.elbo_bits is not None and self.iwae_bits is not None:
            numbers |= {
                f"{self.label}/elbo-bits": self.elbo_bits,
                f"{self.label}/iwae-{self.k}-bits": self.iwae_bits,
            }
        numbers[f"{self.label}/effective-samples"] = self.effective_samples
        return tuple(Row(name, item, self.protocol) for name, item in numbers.items())


class LikelihoodBound:
    """Accumulates importance weights of examples.

    Args:
        k: samples per example.
        pixels: how nats become bits per dimension; `None` where the bound also covers other things than
            pixels, or is of none.
        chunk: most rows of weights drawn at once.
        label: prefix of the numbers in a report.
        protocol: how the weights came about; k and the convention are added to its settings.
        level: coverage of the intervals.

    >>> metric = LikelihoodBound(k=2)
    >>> metric.update(torch.zeros(2, 5))
    >>> metric.compute().iwae.value
    0.0
    """

    def __init__(
        self,
        k: int,
        *,
        pixels: PixelConvention | None = None,
        chunk: int = 16,
        label: str = "bound",
        protocol: Protocol | None = None,
        level: float = 0.95,
    ) -> None:
        self._k, self._pixels, self._chunk = k, pixels, chunk
        self._label, self._protocol, self._level = label, protocol or Protocol(), level
        self._batches: list[ExampleBounds] = []

    def update(self, weights: Tensor | Draw) -> None:
        """Adds a batch: log weights (k, B), or `draw(c)` -> (c, B) as in `importance_bounds`."""
        bounds = importance_bounds(weights, self._k, chunk=self._chunk)
        self._batches.append(ExampleBounds(*(values.cpu() for values in bounds)))

    def merge(self, other: "LikelihoodBound") -> None:
        """Adds what another accumulator with the same k and convention has seen."""
        if (other._k, other._pixels) != (self._k, self._pixels):
            raise ShapeError(
                f"expected bounds with k={self._k}, {self._pixels}, received {other._k}, {other._pixels}"
            )
        self._batches.extend(other._batches)

    def compute(self) -> BoundResult:
        """The bounds so far.

        Raises:
            ShapeError: before the first `update`.
        """
        if not self._batches:
            raise ShapeError("expected at least one update before compute, received none")
        elbo, iwae, effective = (torch.cat(values) for values in zip(*self._batches, strict=True))
        return BoundResult(
            label=self._label,
            protocol=self._with_convention(),
            elbo=mean_estimate(elbo.tolist(), level=self._level, unit="nats"),
            iwae=mean_estimate(iwae.tolist(), level=self._level, unit="nats"),
            elbo_bits=self._bits(elbo),
            iwae_bits=self._bits(iwae),
            effective_samples=mean_estimate(
                effective.tolist(), level=self._level, low=0.0, high=float(self._k)
            ),
            k=self._k,
        )

    def _bits(self, nats: Float64[Tensor, " B"]) -> Estimate | None:
        if self._pixels is None:
            return None
        bits = self._pixels.bits_per_dimension(nats)
        return mean_estimate(bits.tolist(), level=self._level, unit="bits/dim")

    def _with_convention(self) -> Protocol:
        protocol = self._protocol.having(k=self._k)
        if self._pixels is None:
            return protocol
        return protocol.having(dimensions=self._pixels.dimensions, bits=self._pixels.convention)
