"""A distribution whose latents went through an invertible map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self, final

import torch
from torch import Tensor
from torch.distributions import Distribution

from tnprior_core.completion import Completion
from tnprior_core.coupling import LatentMap
from tnprior_core.distributions.base import SiteDistribution
from tnprior_core.errors import QueryError
from tnprior_core.evidence import Word
from tnprior_core.filters import Filter
from tnprior_core.legs import Block
from tnprior_core.linear_map import LinearMap
from tnprior_core.sites import Categorical, Gaussian

__all__ = ["Flow"]


class _Seen(NamedTuple):
    """Latents (B, d) of the examples that were observed whole, `known` (B,), and what they add to the evidence (B,)."""

    z: Tensor
    known: Tensor
    log_det: Tensor


@final
class Flow(SiteDistribution):
    """Distribution of `(z, y)` where `(f(z), y)` follows a base: `log p(z, y) = log p_base(f(z), y) + log |df/dz|`.

    Attributes keep everything exact: they are summed out, conditioned on and completed as in the base. Of the
    latents of an example all are observed, or none: one latent alone has no closed form behind a flow, and a
    QueryError says so. So do the marginals of latents, and `mean`, `variance` and `covariance` unless the map is a
    `LinearMap`.

    base
        the distribution of `(f(z), y)`, nothing known yet.
    flow
        maps z (n, d) to the base's latents, and back.

    >>> from tnprior_core import Gaussian, StandardNormalPrior
    >>> from tnprior_core.coupling import Couplings
    >>> p = Flow(
    ...     StandardNormalPrior([Gaussian("z0"), Gaussian("z1")])(), Couplings(2, layers=2, hidden=8, seed=0)
    ... )
    >>> p.log_prob(p.sample((5,), seed=1)).shape
    torch.Size([5])
    """

    def __init__(self, base: SiteDistribution, flow: LatentMap) -> None:
        """Put the flow before the base."""
        self.base, self.flow = base, flow
        self.seen: _Seen | None = None
        super().__init__(base.legs, validate_args=base.checks)
        self.columns = [index for index, site in enumerate(self.sites) if isinstance(site, Gaussian)]

    @property
    def log_evidence(self) -> Tensor:
        """`log p(everything this was conditioned on)` in nats, of shape batch_shape."""
        return self.base.log_evidence if self.seen is None else self.base.log_evidence + self.seen.log_det

    def log_prob(self, value: Tensor, observed: Tensor | None = None) -> Tensor:
        """Return `log p(observed entries of value | what is known)`; see `SiteDistribution.log_prob`.

        Raises QueryError where some latents of an example are observed and others are not.
        """
        values, known, shape = self._masked_table(value, observed)
        whole = self._whole(known)
        z = torch.where(whole.unsqueeze(1), values[:, self.columns], 0.0)
        clash = torch.zeros_like(whole)
        if self.seen is not None:
            repeats = len(values) // max(1, len(self.seen.known))
            before = self.seen.known.repeat(repeats)
            clash = whole & before & (z != self.seen.z.repeat(repeats, 1)).any(1)
            whole = whole & ~before
        mapped = self.flow(z)
        table, mask = self._with_latents(values, known, mapped.value, whole)
        found = self.base.log_prob(*(x.view(*shape, len(self.visible)) for x in (table, mask))).reshape(-1)
        found = found + torch.where(whole, mapped.log_det, 0.0)
        return torch.where(clash, -torch.inf, found).view(shape)

    def condition(self, evidence: Mapping[str, Word]) -> Self:
        """Return the distribution given evidence about attributes; see `SiteDistribution.condition`.

        Raises QueryError for a latent.
        """
        for site in self.sites:
            if isinstance(site, Gaussian) and site.name in evidence:
                raise self._no_closed_form(f"evidence about {site.name!r}")
        return self._given(self.base.condition(evidence))

    def observe(self, value: Tensor, observed: Tensor | None = None) -> Self:
        """Return the distribution given a table (B, K): of every example all latents, or none.

        Raises QueryError where some latents of an example are observed and others are not.
        """
        values, known, _ = self._masked_table(value, observed)
        whole = self._whole(known)
        if self.seen is not None:
            raise QueryError(
                "expected a table of latents once; observe all that is known of an example together"
            )
        z = torch.where(whole.unsqueeze(1), values[:, self.columns], 0.0)
        mapped = self.flow(z)
        table, mask = self._with_latents(values, known, mapped.value, whole)
        return self._given(
            self.base.observe(table, mask), seen=_Seen(z, whole, torch.where(whole, mapped.log_det, 0.0))
        )

    def marginal(self, names: str | Sequence[str]) -> Distribution:  # type: ignore[override]
        """Return the marginal of attributes; several give a distribution of the base's kind.

        Raises QueryError for a latent.
        """
        self._labels_only([names] if isinstance(names, str) else names)
        return self.base.marginal(names)

    def marginals(self, names: Sequence[str] | None = None) -> dict[str, Distribution]:
        """Return the marginals of all (or the named) attributes from one backward pass."""
        labels = [site.name for site in self.sites if isinstance(site, Categorical)]
        self._labels_only(labels if names is None else names)
        return self.base.marginals(labels if names is None else names)

    def complete(self, names: Sequence[str] | None = None, *, limit: int = 4096) -> Completion:
        """Return the most probable joint completion of the unobserved categorical sites, as the base's."""
        return self.base.complete(names, limit=limit)

    def sample(
        self,
        sample_shape: torch.Size | Sequence[int] = (),
        *,
        seed: int | None = None,
        first: int = 0,
        first_row: int = 0,
    ) -> Tensor:
        """Draw from the base and go back through the flow; see `SiteDistribution.sample`."""
        with torch.no_grad():
            drawn = self.base.sample(sample_shape, seed=seed, first=first, first_row=first_row)
            return self._back(drawn)

    def rsample(
        self,
        sample_shape: torch.Size | Sequence[int] = (),
        *,
        seed: int | None = None,
        first: int = 0,
        first_row: int = 0,
        floor: float = 0.0,
    ) -> Tensor:
        """Draw as `sample` with pathwise gradients, of the flow too; see `SiteDistribution.rsample`."""
        return self._back(
            self.base.rsample(sample_shape, seed=seed, first=first, first_row=first_row, floor=floor)
        )

    def pushed(self, values: Tensor) -> Tensor:
        """Return the values (..., K) whose latents the flow maps to those given, rows of the base; labels stay.

        A row drawn from the base, however it was conditioned there, becomes a row of this distribution.

        >>> from tnprior_core import FlowPrior, Gaussian, StandardNormalPrior
        >>> p = FlowPrior(StandardNormalPrior([Gaussian("z0"), Gaussian("z1")]))()
        >>> drawn = p.base.sample((3,), seed=0)
        >>> bool(torch.equal(p.pushed(drawn), p.sample((3,), seed=0)))
        True
        """
        return self._back(values)

    @property
    def mean(self) -> Tensor:
        """Exact means of the latents behind a `LinearMap`, `A^-1 E u`; QueryError for another map."""
        return self.base.mean @ self._inverse_matrix("mean").mT

    @property
    def variance(self) -> Tensor:
        """Exact variances of the latents behind a `LinearMap`; QueryError for another map."""
        return self._covariance("variance").diagonal(dim1=-2, dim2=-1)

    def covariance(self, names: Sequence[str] | None = None) -> Tensor:
        """Return the exact covariance of latents behind a `LinearMap`, `A^-1 Cov(u) A^-T`, (*batch_shape, C, C).

        Raises QueryError for another map, or an attribute.

        >>> from tnprior_core import FlowPrior, Gaussian, LinearMap, StandardNormalPrior
        >>> prior = FlowPrior(StandardNormalPrior([Gaussian("z0"), Gaussian("z1")]), LinearMap(2))
        >>> prior.flow.assign(torch.tensor([[0.5, 0.0], [0.0, 1.0]]))
        >>> prior().covariance().diagonal()
        tensor([4., 1.])
        """
        whole = self._covariance("covariance")
        if names is None:
            return whole
        sites = self._positions(names)
        for site in sites:
            if site not in self.columns:
                raise QueryError(f"expected continuous sites, received {self.sites[site].name!r}")
        chosen = torch.tensor([self.columns.index(site) for site in sites], device=whole.device)
        return whole.index_select(-2, chosen).index_select(-1, chosen)

    def _covariance(self, what: str) -> Tensor:
        back = self._inverse_matrix(what)
        return back @ self.base.covariance() @ back.mT

    def _inverse_matrix(self, what: str) -> Tensor:
        if not isinstance(self.flow, LinearMap):
            raise self._no_closed_form(what)
        back: Tensor = torch.linalg.inv(self.flow.matrix.double())
        return back.to(self._like().dtype)

    def _back(self, drawn: Tensor) -> Tensor:
        flat = drawn.reshape(-1, drawn.shape[-1])
        z = self.flow.inverse(flat[:, self.columns])
        if self.seen is not None and len(flat):
            repeats = len(flat) // max(1, len(self.seen.known))
            known = self.seen.known.repeat(repeats).unsqueeze(1)
            z = torch.where(known, self.seen.z.repeat(repeats, 1), z)
        columns = torch.as_tensor(self.columns, device=flat.device)
        return flat.index_copy(1, columns, z).view(drawn.shape)

    def _whole(self, known: Tensor) -> Tensor:
        """Where all latents of a row are observed."""
        latents = known[:, self.columns]
        if bool((latents.any(1) & ~latents.all(1)).any()):
            raise self._no_closed_form("some latents of an example without the others")
        return latents.all(1)

    def _with_latents(self, values: Tensor, known: Tensor, u: Tensor, whole: Tensor) -> tuple[Tensor, Tensor]:
        columns = torch.as_tensor(self.columns, device=values.device)
        mask = known.index_copy(1, columns, whole.unsqueeze(1).expand(-1, len(columns)))
        return values.index_copy(1, columns, u), mask

    def _given(self, base: SiteDistribution, **changes: object) -> Self:
        return self._replaced(base=base, knowledge=base.knowledge, **changes)

    def _masked_table(self, value: Tensor, observed: Tensor | None) -> tuple[Tensor, Tensor, torch.Size]:
        values, known, shape = self._table(value, observed)
        return values, torch.ones_like(values, dtype=torch.bool) if known is None else known, shape

    def _labels_only(self, names: Sequence[str]) -> None:
        for site in self.sites:
            if isinstance(site, Gaussian) and site.name in names:
                raise self._no_closed_form(f"the marginal of {site.name!r}")

    def _no_closed_form(self, what: str) -> QueryError:
        return QueryError(
            f"expected questions about attributes, or all latents of an example, received {what}: behind a flow "
            "it has no closed form; `sample` answers approximately, a prior without a flow exactly"
        )

    def _log_mass(self, blocks: Sequence[Block]) -> Tensor:
        return self.base._log_mass(blocks)

    def _filter(self, blocks: Sequence[Block], sites: frozenset[int]) -> Filter:
        return self.base._filter(blocks, sites)

    def _prepare_draws(self, blocks: Sequence[Block], draws: int, calls: int) -> None:
        self.base._prepare_draws(blocks, draws, calls)

    @property
    def _table_size(self) -> int:
        return self.base._table_size

    def _draw_states(self, blocks: Sequence[Block], uniform: Tensor, which: Tensor | None) -> Tensor:
        return self.base._draw_states(blocks, uniform, which)

    def _like(self) -> Tensor:
        return self.base._like()

    def _detached(self) -> Self:
        return self._replaced(base=self.base._detached())
