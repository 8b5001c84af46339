"""The queries every distribution answers, written once in terms of weight rows.

A subclass knows its mixture weights: the log mass of a set of rows, and how to draw component indices.
Everything a user asks (densities, conditions, marginals, samples, moments, completions) follows from those two.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NoReturn, Self, overload

import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn.functional import pad

from tnprior_core import completion, marginals, moments
from tnprior_core.errors import ImpossibleEvidenceError, QueryError, ShapeError
from tnprior_core.evidence import Word
from tnprior_core.filters import Filter
from tnprior_core.knowledge import Knowledge
from tnprior_core.legs import Block, Legs
from tnprior_core.noise import fresh_seed
from tnprior_core.once import once
from tnprior_core.pathwise import attach_paths
from tnprior_core.sites import Gaussian, Site, find_site
from tnprior_core.support import SiteValues
from tnprior_core.values import draw_values
from tnprior_core.wording import flat_table, learn, learn_table

__all__ = ["SiteDistribution"]


class SiteDistribution(Distribution, ABC):
    """A distribution over named sites that is closed under its queries.

    `p(v) = sum_s W[s] prod_k p(v_k | s_k) / sum_s W[s]`, W non-negative.

    batch_shape is () or (B,) once something was observed per example; event_shape is (K,), one entry per
    visible site in declared order; a categorical entry is its integer code. After `torch.distributions`,
    with an `observed` mask: entries where it is False are summed out exactly and may hold anything.

    It is a snapshot: it answers for the parameters that the prior had when it was called, also after an optimiser
    step, and everything asked of it shares one graph. One call of the prior and one `backward()` per update.
    """

    arg_constraints = {}  # noqa: RUF012
    _walks = True  # A walk along the chain costs more than a row: densities and their total then share one.

    def __init__(self, legs: Legs, *, validate_args: bool | None = None) -> None:
        """Start with nothing known and every site visible."""
        self.legs = legs
        self.knowledge = Knowledge()
        self.visible = tuple(range(len(legs.sites)))
        self.checks = Distribution._validate_args if validate_args is None else validate_args
        self._known: dict[bool, Tensor] = {}
        self._total: dict[bool, Tensor] = {}
        super().__init__(torch.Size(), torch.Size([len(self.visible)]), validate_args=False)

    @abstractmethod
    def _log_mass(self, blocks: Sequence[Block]) -> Tensor:
        """Log of `sum_s W[s] prod_k row_k[b, s_k]`, (B,), differentiable in rows and weights."""

    @abstractmethod
    def _draw_states(self, blocks: Sequence[Block], uniform: Tensor, which: Tensor | None) -> Tensor:
        """Draw component indices (K, S), proportional to `W[s] prod_k row_k[which, s_k]`."""

    def _prepare_draws(self, blocks: Sequence[Block], draws: int, calls: int) -> None:
        """Make what so many draws with the same evidence share, in so many calls of `_draw_states`, by threads."""

    @property
    def _table_size(self) -> int:
        """About how many numbers `_prepare_draws` will make."""
        return 0

    def _filter(self, blocks: Sequence[Block], sites: frozenset[int]) -> Filter:
        """Start the filter that visits these sites, for `rsample`; row i of the evidence is that of draw i."""
        raise NotImplementedError(f"{type(self).__name__} has no filter, so no pathwise gradients")

    @abstractmethod
    def _like(self) -> Tensor:
        """A tensor with the dtype and device of the parameters."""

    @abstractmethod
    def _detached(self) -> Self:
        """This distribution with weights that carry no gradient."""

    @property
    def support(self) -> constraints.Constraint:
        """Real numbers for continuous sites, integer codes for categorical ones."""
        return SiteValues(self.sites)

    @property
    def sites(self) -> tuple[Site, ...]:
        """The visible sites, in the order of the values."""
        return tuple(self.legs.sites[index] for index in self.visible)

    @property
    def log_normalizer(self) -> Float[Tensor, ""]:
        """Log of the total weight, `log sum_s W[s]` (), computed once."""
        return once(self._total, lambda: self._log_mass(self.legs.blocks(Knowledge(), self._like()))[0])

    @property
    def log_evidence(self) -> Float[Tensor, "*batch"]:
        """`log p(everything this was conditioned on)` in nats, of shape batch_shape."""
        return (self._known_mass() - self.log_normalizer).view(self.batch_shape)

    def log_prob(
        self, value: Num[Tensor, "*values K"], observed: Bool[Tensor, "..."] | None = None
    ) -> Float[Tensor, "*rows"]:
        """Return `log p(observed entries of value | what is known)`, nats, shape of value without its last axis.

        value
            (..., K), broadcast against batch_shape; categorical entries hold integer codes.
        observed
            boolean, the shape of value or broadcastable to it; None means everything.

        Minus infinity where the value, or the evidence itself, is impossible; its gradient is zero.

        Raises ShapeError for a wrong shape or code. Source: Kuznetsov et al. 2019 (TRIP), algorithm 1.

        >>> from tnprior_core import Gaussian, TensorTrainPrior
        >>> p = TensorTrainPrior([Gaussian("z0", 3), Gaussian("z1", 3)], rank=2)()
        >>> p.log_prob(torch.zeros(5, 2)).shape
        torch.Size([5])
        """
        values, known, shape = self._table(value, observed)
        if self.knowledge.empty and not self._total:
            return self._log_prob_with_total(values, known).view(shape)
        repeats = values.shape[0] // (self.knowledge.batch or 1)
        both = self._learned(self.knowledge.expand(repeats), values, known)
        before = self._known_mass().repeat(repeats if self.knowledge.batch else 1)
        before = torch.where(before == -torch.inf, torch.zeros_like(before), before)
        return (self._mass(both) - before).view(shape)

    def condition(self, evidence: Mapping[str, Word]) -> Self:
        """Return the distribution given named evidence; conditions compose, and an empty one changes nothing.

        evidence
            site name -> a label or a number (shared), an integer or float tensor (B,) (one per example),
            a list of labels (None: unknown), `OneOf`, `Not`, `Likelihood`, `Between` or `Noisy`.

        Raises SiteError, EvidenceError, and ImpossibleEvidenceError where no value could satisfy a word.

        >>> from tnprior_core import Categorical, OneOf, TensorTrainPrior
        >>> p = TensorTrainPrior([Categorical("hair", ("black", "blond", "brown"))], rank=1)()
        >>> q = p.condition({"hair": OneOf("blond", "brown")})
        >>> bool(q.log_evidence < 0), q.marginal("hair").probs[0]
        (True, tensor(0.))
        """
        visible = {site.name for site in self.sites}
        for name in evidence:
            if name not in visible:
                find_site(self.sites, name)
        return self._replaced(knowledge=learn(self.knowledge, self.legs.sites, evidence, self._like()))

    def observe(self, value: Num[Tensor, "*values K"], observed: Bool[Tensor, "..."] | None = None) -> Self:
        """Return the distribution given a table of values (B, K) where `observed` (B, K): batch_shape (B,).

        Raises ShapeError for a wrong shape or code.

        >>> from tnprior_core import Gaussian, TensorTrainPrior
        >>> p = TensorTrainPrior([Gaussian("z0", 3), Gaussian("z1", 3)], rank=2)()
        >>> p.observe(torch.zeros(5, 2), torch.tensor([True, False])).batch_shape
        torch.Size([5])
        """
        if value.dim() != 2:
            raise ShapeError(
                f"expected values of shape (B, {len(self.visible)}), received {tuple(value.shape)}"
            )
        return self._replaced(knowledge=self._learned(self.knowledge, *self._table(value, observed)[:2]))

    @overload
    def marginal(self, names: str) -> Distribution: ...  # type: ignore[overload-overlap]

    @overload
    def marginal(self, names: Sequence[str]) -> Self: ...

    def marginal(self, names: str | Sequence[str]) -> Distribution:
        """Return the marginal of one site (a `Categorical` or `NormalMixture`), or of several (again this kind).

        >>> from tnprior_core import Categorical, Gaussian, TensorRingPrior
        >>> p = TensorRingPrior([Gaussian("z0", 3), Gaussian("z1", 3), Categorical("hat")], rank=2)()
        >>> p.marginal("hat").probs.shape
        torch.Size([2])
        >>> p.marginal(["z1", "hat"]).event_shape
        torch.Size([2])
        """
        if isinstance(names, str):
            return self.marginals([names])[names]
        kept = tuple(self.visible[find_site(self.sites, name)] for name in names)
        if not kept or len(set(kept)) != len(kept):
            raise QueryError(f"expected different site names, at least one, received {list(names)}")
        return self._replaced(visible=kept)

    def marginals(self, names: Sequence[str] | None = None) -> dict[str, Distribution]:
        """Return the marginals of all (or the named) visible sites from ONE backward pass.

        The derivative of `log F` with respect to the log of a site's weight row is the posterior of its
        component index. The results carry no gradient.

        >>> from tnprior_core import Categorical, TensorTrainPrior
        >>> sorted(TensorTrainPrior([Categorical("a"), Categorical("b")], rank=2)().marginals())
        ['a', 'b']
        """
        return marginals.of_sites(self, self._positions(names))

    def component_posteriors(self) -> dict[str, Float[Tensor, "*batch N"]]:
        """Return `p(s_k | what is known)`, (*batch_shape, N_k), of every visible site.

        >>> from tnprior_core import Gaussian, TensorTrainPrior
        >>> TensorTrainPrior([Gaussian("z0", 3)], rank=2)().component_posteriors()["z0"].shape
        torch.Size([3])
        """
        posteriors = marginals.component_posteriors(self)
        return {
            self.legs.sites[index].name: posteriors[index].reshape(
                *self.batch_shape, posteriors[index].shape[1]
            )
            for index in self.visible
        }

    def sample(
        self,
        sample_shape: torch.Size | Sequence[int] = (),
        *,
        seed: int | None = None,
        first: int = 0,
        first_row: int = 0,
    ) -> Float[Tensor, "*drawn K"]:
        """Draw (*sample_shape, *batch_shape, K) exact samples of all sites given what is known; never rejects.

        seed
            sample i of row b is a function of (seed, first + i, first_row + b) alone, whatever the batch
            size; None takes a seed from torch's global generator.

        Raises ImpossibleEvidenceError if the evidence has probability zero.

        >>> from tnprior_core import Gaussian, TensorRingPrior
        >>> p = TensorRingPrior([Gaussian("z0", 3), Gaussian("z1", 3)], rank=2)()
        >>> bool((p.sample((100,), seed=1)[90:] == p.sample((10,), seed=1, first=90)).all())
        True
        """
        shape = torch.Size(sample_shape)
        return self._shown(self._draw(shape, seed=seed, first=first, first_row=first_row), shape)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether there is a continuous site for `rsample` to follow."""
        return any(isinstance(site, Gaussian) for site in self.sites)

    def rsample(
        self,
        sample_shape: torch.Size | Sequence[int] = (),
        *,
        seed: int | None = None,
        first: int = 0,
        first_row: int = 0,
        floor: float = 0.0,
    ) -> Float[Tensor, "*drawn K"]:
        """Draw the values of `sample` with pathwise gradients in the continuous sites.

        `E[g(z)]` of continuous sites has the gradient `E[sum_k dg/dz_k dz_k]`, exactly: in cores, means and
        widths, and in values and intervals that were conditioned on. Sites are followed in chain order by
        `dz_k = -dF(z_k | z_<k) / f(z_k | z_<k)`, categorical ones being summed out of F.

        A categorical column has no path. Condition on labels, per example too, for the gradient given them. Where
        g reads drawn labels y as well, `g + stop(g) log p(y | z)` has the right gradient, with
        `log p(y | z) = p.log_prob(v) - p.log_prob(v, observed=continuous)` of the same values v.

        seed, first, first_row
            as in `sample`.
        floor
            the density f is taken to be at least this. Between modes far apart f is nearly zero, and a rare
            value there carries a huge gradient: a floor such as 0.01 trades that variance for a small bias.

        Differentiable once. Raises QueryError without continuous sites, ImpossibleEvidenceError as `sample`.
        Source: Figurnov, Mohamed, Mnih 2018.

        >>> from tnprior_core import Gaussian, TensorRingPrior
        >>> prior = TensorRingPrior([Gaussian("z0", 3), Gaussian("z1", 3)], rank=2)
        >>> prior().rsample((100,), seed=1).square().sum(1).mean().backward()
        >>> all(parameter.grad is not None for parameter in prior.parameters())
        True
        """
        if not self.has_rsample:
            raise QueryError(f"expected a continuous site, received {self!r}; `sample` draws labels")
        shape = torch.Size(sample_shape)
        values = self._draw(shape, seed=seed, first=first, first_row=first_row)
        if values.numel():
            with torch.autocast(values.device.type, enabled=False):
                values = attach_paths(self, values.reshape(-1, values.shape[-1]), floor=floor)
        return self._shown(values, shape)

    @property
    def mean(self) -> Float[Tensor, "*batch d"]:
        """Exact means of the visible continuous sites, (*batch_shape, number of them)."""
        return moments.mean_and_variance(self)[0]

    @property
    def variance(self) -> Float[Tensor, "*batch d"]:
        """Exact variances of the visible continuous sites, (*batch_shape, number of them)."""
        return moments.mean_and_variance(self)[1]

    def covariance(self, names: Sequence[str] | None = None) -> Float[Tensor, "*batch d d"]:
        """Return the exact covariance matrix of continuous sites, (*batch_shape, C, C).

        >>> from tnprior_core import Gaussian, TensorRingPrior
        >>> p = TensorRingPrior([Gaussian("z0", 3), Gaussian("z1", 3)], rank=2)()
        >>> torch.allclose(p.covariance().diagonal(), p.variance)
        True
        """
        latents = [site.name for site in self.sites if isinstance(site, Gaussian)]
        return moments.covariance(self, self._positions(latents if names is None else names))

    def complete(self, names: Sequence[str] | None = None, *, limit: int = 4096) -> completion.Completion:
        """Return the most probable joint completion of the unobserved categorical sites (all, or the named).

        Exact best-first search; see `completion.most_probable`.
        """
        return completion.most_probable(self, self._positions(names), limit=limit)

    def expand(self, batch_shape: torch.Size | Sequence[int], _instance: object = None) -> NoReturn:
        """Raise QueryError: evidence per example gives a batch, and `sample((n,))` gives many draws."""
        raise QueryError(
            f"{type(self).__name__} has no expand, received {tuple(batch_shape)}; `observe` a table (B, K) for a "
            "batch of conditional distributions, `sample((n,))` for n draws"
        )

    def __repr__(self) -> str:
        """Name the sites, and what is known."""
        names = [site.name for site in self.sites]
        shown = ", ".join(names[:6]) + (f", ... {len(names)} sites" if len(names) > 6 else "")
        known = set(self.knowledge.soft) | (self.knowledge.exact.columns if self.knowledge.exact else set())
        given = ", ".join(self.legs.sites[index].name for index in sorted(known)[:6])
        return f"{type(self).__name__}({shown}{f' | {given}' if given else ''}; batch_shape={tuple(self.batch_shape)})"

    def _draw(self, shape: torch.Size, *, seed: int | None, first: int, first_row: int) -> Tensor:
        seed = fresh_seed() if seed is None else seed
        with torch.no_grad():
            if not self.knowledge.empty:
                self._require_possible()
            return draw_values(self, shape.numel(), seed=seed, first=first, first_row=first_row)

    def _shown(self, values: Tensor, shape: torch.Size) -> Tensor:
        """The visible columns of drawn values of all sites."""
        if self.visible != tuple(range(len(self.legs.sites))):
            values = values[..., list(self.visible)]
        return values.reshape(*shape, *self.batch_shape, len(self.visible))

    def _mass(self, knowledge: Knowledge) -> Tensor:
        mass = self._log_mass(self.legs.blocks(knowledge, self._like())).expand(knowledge.rows)
        return knowledge.contradict(mass)

    def _log_prob_with_total(self, values: Tensor, known: Tensor | None) -> Tensor:
        """Masses less the total: where that takes a walk, of a last row, in which nothing is observed."""
        if not self._walks:
            total = self._log_mass(self.legs.blocks(Knowledge(), self._like()))
            return self._mass(self._learned(self.knowledge, values, known)) - total
        known = torch.ones_like(values, dtype=torch.bool) if known is None else known
        values, known = pad(values, (0, 0, 0, 1)), pad(known, (0, 0, 0, 1))
        mass = self._mass(self._learned(self.knowledge, values, known))
        return mass[:-1] - mass[-1:]

    def _learned(self, knowledge: Knowledge, values: Tensor, known: Tensor | None) -> Knowledge:
        return learn_table(knowledge, self.legs.sites, self.visible, values, known, checks=self.checks)

    def _known_mass(self) -> Tensor:
        if self.knowledge.empty:
            return self.log_normalizer.view(1)
        return once(self._known, lambda: self._mass(self.knowledge))

    def _require_possible(self, mass: Tensor | None = None) -> None:
        """Raise unless the evidence has positive probability; `mass` saves computing its mass again."""
        mass = self._known_mass() if mass is None else self.knowledge.contradict(mass)
        impossible = mass == -torch.inf
        if bool(impossible.any()):
            rows = impossible.nonzero().flatten().tolist()[:10]
            where = f"{self!r}; impossible for examples {rows}" if self.batch_shape else repr(self)
            raise ImpossibleEvidenceError(f"expected evidence of positive probability, received {where}")

    def _positions(self, names: Sequence[str] | None) -> Sequence[int]:
        """Positions of the named sites among all of the legs; None means every visible one."""
        visible, sites = self.visible, self.sites
        return visible if names is None else [visible[find_site(sites, name)] for name in names]

    def _replaced(self, **changes: object) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.__dict__.update(changes)
        other._known = {}
        batch = torch.Size() if other.knowledge.batch is None else torch.Size([other.knowledge.batch])
        other._batch_shape, other._event_shape = batch, torch.Size([len(other.visible)])
        return other

    def _table(self, value: Tensor, observed: Tensor | None) -> tuple[Tensor, Tensor | None, torch.Size]:
        return flat_table(value, observed, len(self.visible), self.batch_shape, self._like())
