"""Tensor-train and tensor-ring priors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tnprior_core.cores import Exp, Positivity, noise_cores
from tnprior_core.distributions.network import TensorRing, TensorTrain
from tnprior_core.errors import ShapeError, SiteError
from tnprior_core.legs import GaussianLegs, LabelLegs, LegGroup, Legs
from tnprior_core.priors.base import Prior
from tnprior_core.sites import Gaussian, Site, find_site

__all__ = ["NetworkPrior", "TensorRingPrior", "TensorTrainPrior"]

LOG_SIGMA_RANGE: Final = (-7.0, 3.0)
"""Components narrower or wider than this are clamped: a width of zero is not a density."""


class NetworkPrior(Prior):
    """Common part of the two: components, cores and the order of the sites along the chain."""

    closed: ClassVar[bool]

    def __init__(
        self,
        sites: Iterable[Site],
        rank: int | Sequence[int],
        *,
        order: Sequence[int] | Sequence[str] | None = None,
        positivity: Positivity | None = None,
        factored: bool = False,
        low: float = -2.0,
        high: float = 2.0,
        width: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Place the components on a grid and fill the cores with seeded noise."""
        if not 0 < width < math.inf:
            raise SiteError(f"expected a positive width, received {width}")
        super().__init__(sites)
        self.positivity = Exp() if positivity is None else positivity
        places = chain_places(self.sites, order)
        self.rank = rank
        self.factored = factored
        bonds = _bonds(rank, len(self.sites), closed=self.closed)
        shapes = {site: (self.sites[site].states, bonds[at], bonds[at + 1]) for at, site in enumerate(places)}
        self.core_groups = grouped(shapes)
        self.leg_groups = grouped(
            {index: (site.states,) for index, site in enumerate(self.sites) if isinstance(site, Gaussian)}
        )
        generator = torch.Generator().manual_seed(seed)
        sizes = {key: (len(group), *shapes[group[0]]) for key, group in self.core_groups.items()}
        cores, emissions, transitions = self._noise(sizes, generator)
        self.raw_cores = nn.ParameterDict(cores)
        self.raw_emissions, self.raw_transitions = nn.ParameterDict(emissions), nn.ParameterDict(transitions)
        self.mean, self.log_sigma = nn.ParameterDict(), nn.ParameterDict()
        for key, group in self.leg_groups.items():
            states = self.sites[group[0]].states
            grid = torch.linspace(low, high, states) if states > 1 else torch.full((1,), (low + high) / 2)
            self.mean[key] = nn.Parameter(grid.repeat(len(group), 1))
            sigma = torch.tensor(width * (high - low) / states)
            self.log_sigma[key] = nn.Parameter(sigma.log().expand(len(group), states).clone())
        self.register_buffer("_order", torch.tensor(places))
        self._order: Tensor
        self._order_read: tuple[Tensor, int, tuple[int, ...]] | None = None

    def _noise(
        self, sizes: Mapping[str, tuple[int, int, int, int]], generator: torch.Generator
    ) -> tuple[dict[str, nn.Parameter], dict[str, nn.Parameter], dict[str, nn.Parameter]]:
        """Raw cores of each group, or in their place emissions (G, N, m, 1) and transitions (G, 1, m, m')."""

        def raw(entries: Tensor) -> nn.Parameter:
            return nn.Parameter(self.positivity.inverse(entries))

        if not self.factored:
            return {key: raw(noise_cores(size, generator)) for key, size in sizes.items()}, {}, {}
        emissions, transitions = {}, {}
        for key, (count, states, left, right) in sizes.items():
            emission = noise_cores((count, 1, states, left), generator).permute(0, 2, 3, 1)
            emissions[key] = raw(emission.contiguous())
            transitions[key] = raw(noise_cores((count, 1, left, right), generator))
        return {}, emissions, transitions

    @property
    def order(self) -> tuple[int, ...]:
        """Positions of the sites along the chain: `order[j]` is the site of core j. Kept with the weights."""
        buffer = self._order
        if buffer.is_inference():  # such a tensor does not say when it changed
            return tuple(buffer.tolist())
        held = self._order_read
        if held is None or held[0] is not buffer or held[1] != buffer._version:
            # Read once: on a device every reading waits for everything that is queued.
            held = self._order_read = (buffer, buffer._version, tuple(buffer.tolist()))
        return held[2]

    def set_order(self, order: Sequence[int] | Sequence[str]) -> None:
        """Rearrange the chain; every core stays with its site.

        Raises SiteError if it is no permutation, ShapeError where cores of unequal rank no longer fit; the order is
        then the old one.
        """
        places, before = chain_places(self.sites, order), self._order.clone()
        with torch.no_grad():
            self._order.copy_(torch.tensor(places))
            try:
                self()
            except ShapeError:
                self._order.copy_(before)
                raise

    def legs(self) -> Legs:
        """Return the sites with their components, as the distribution uses them."""
        # A copy of the means: a distribution is a snapshot, an optimiser step must not change half of it.
        groups: list[LegGroup] = [
            GaussianLegs(group, self.mean[key].clone(), self.log_sigma[key].clamp(*LOG_SIGMA_RANGE))
            for key, group in self.leg_groups.items()
        ]
        labels = grouped({index: (self.sites[index].states,) for index in self.attributes})
        groups.extend(LabelLegs(group, self.sites[group[0]].states) for group in labels.values())
        return Legs(self.sites, groups)

    def cores(self) -> list[Float[Tensor, "_ _ _"]]:
        """Return the non-negative cores (N_k, m_k, m_{k+1}) in chain order."""
        by_site: dict[int, Tensor] = {}
        for key, group in self.core_groups.items():
            by_site.update(zip(group, self._entries(key).unbind(0), strict=True))
        return [by_site[site] for site in self.order]

    def _entries(self, key: str) -> Tensor:
        """Cores (G, N, m, m') of one group of sites."""
        entry = self.positivity.forward
        if not self.factored:
            return entry(self.raw_cores[key])
        return entry(self.raw_emissions[key]) * entry(self.raw_transitions[key])

    @torch.no_grad()
    def assign_cores(self, cores: Sequence[Float[Tensor, "_ _ _"]]) -> None:
        """Overwrite the cores with positive tensors (N_k, m_k, m_{k+1}) in chain order.

        Factored ones become the closest of their form in Kullback-Leibler divergence: given the left bond index, the
        component and the right bond index keep their own probabilities and lose their dependence.

        Raises ShapeError if the cores have other shapes than the prior's.
        """
        shapes = [tuple(core.shape) for core in self.cores()]
        if [tuple(core.shape) for core in cores] != shapes:
            raise ShapeError(f"expected cores {shapes}, received {[tuple(core.shape) for core in cores]}")
        by_site = dict(zip(self.order, cores, strict=True))
        for key, group in self.core_groups.items():
            stacked = torch.stack([by_site[site] for site in group])
            if self.factored:
                transition = stacked.sum(1, keepdim=True)
                total = transition.sum(3, keepdim=True).clamp_min(torch.finfo(stacked.dtype).tiny)
                emission = stacked.sum(3, keepdim=True) / total
                self.raw_emissions[key].copy_(self.positivity.inverse(emission))
                self.raw_transitions[key].copy_(self.positivity.inverse(transition))
            else:
                self.raw_cores[key].copy_(self.positivity.inverse(stacked))

    @torch.no_grad()
    def assign_components(self, site: int, mean: Float[Tensor, " N"], sigma: Float[Tensor, " N"]) -> None:
        """Overwrite the component means and standard deviations (N_k,) of one continuous site."""
        for key, group in self.leg_groups.items():
            if site in group:
                self.mean[key][group.index(site)].copy_(mean)
                self.log_sigma[key][group.index(site)].copy_(sigma.log().clamp(*LOG_SIGMA_RANGE))

    def extra_repr(self) -> str:
        """Name the sites and the rank."""
        factored = ", factored" if self.factored else ""
        return f"{len(self.latents)} latents, {len(self.attributes)} attributes, rank={self.rank}{factored}"


@final
class TensorTrainPrior(NetworkPrior):
    """Prior whose mixture weights are a tensor train; `forward()` returns a `TensorTrain`.

    `p(z, y) = sum_s W[s, y] prod_k N(z_k; mu_{k,s_k}, sigma_{k,s_k}^2)`, `W` in tensor-train format.

    sites
        Gaussian and Categorical sites.
    rank
        m of every bond, or the K + 1 bond sizes.
    order
        site names or positions along the chain; None for the order of `sites`.
    positivity
        raw parameter -> core entry: `Exp()` (default), `Softplus()` or `Square()`.
    factored
        cores in two factors, `Q[s, a, b] = E[s, a] T[a, b]`, as in a hidden Markov model: N m + m^2 numbers a site
        instead of N m^2, so that a higher rank costs no more parameters.
    low, high
        the grid on which the component means start.
    width
        standard deviations at the start, in units of `(high - low) / N`. At 1 neighbours overlap and the prior is one
        smooth hill; a quarter keeps them apart, which a GAN needs to find separate modes.
    seed
        of the noise in the cores.

    Raises SiteError or ShapeError when a setting is impossible.
    Source: Kuznetsov et al. 2019 (VAE-TTLP), equation 4.

    >>> from tnprior_core import Categorical
    >>> prior = TensorTrainPrior([Gaussian("z0", 10), Categorical("hat")], rank=4)
    >>> prior().sample((3,), seed=0).shape
    torch.Size([3, 2])
    """

    closed = False

    def forward(self) -> TensorTrain:
        """Return the distribution for the current parameters."""
        return TensorTrain(self.legs(), self.cores(), order=self.order)


@final
class TensorRingPrior(NetworkPrior):
    """Prior whose mixture weights are a tensor ring; `forward()` returns a `TensorRing`.

    `W[s] = Tr(Q_1[s_1] ... Q_K[s_K])`. Arguments as for `TensorTrainPrior`; a sequence of ranks has K entries.
    A ring of core size m has about the capacity of a train of size m^2, at m times its cost.

    Source: Kuznetsov et al. 2019 (TRIP), equation 3.

    >>> from tnprior_core import Categorical
    >>> prior = TensorRingPrior([Gaussian("z0", 10), Categorical("hat")], rank=4)
    >>> prior().log_evidence
    tensor(0., grad_fn=<ViewBackward0>)
    """

    closed = True

    def forward(self) -> TensorRing:
        """Return the distribution for the current parameters."""
        return TensorRing(self.legs(), self.cores(), order=self.order)


def grouped(shapes: Mapping[int, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Sites by shape: {"n10x20x20": (0, 1, 2, ...)}."""
    groups: dict[str, list[int]] = {}
    for site in sorted(shapes):
        groups.setdefault("n" + "x".join(map(str, shapes[site])), []).append(site)
    return {key: tuple(group) for key, group in groups.items()}


def chain_places(sites: Sequence[Site], order: Sequence[int] | Sequence[str] | None) -> list[int]:
    """Return the position of the site at each place of a chain, of `order` by names or positions.

    Raises SiteError unless every site is there once.

    >>> chain_places([Gaussian("z0", 3), Gaussian("z1", 3)], ["z1", "z0"])
    [1, 0]
    """
    if order is None:
        return list(range(len(sites)))
    if isinstance(order, str):
        raise SiteError(
            f"expected the sites in an order, received {order!r}; `random_order` makes one, for example"
        )
    places = [find_site(sites, at) if isinstance(at, str) else int(at) for at in order]
    if sorted(places) != list(range(len(sites))):
        raise SiteError(f"expected each of {len(sites)} sites once in `order`, received {list(order)}")
    return places


def _bonds(rank: int | Sequence[int], count: int, *, closed: bool) -> list[int]:
    if isinstance(rank, int):
        bonds = [rank] * (count + 1)
    else:
        expected = count if closed else count + 1
        if len(rank) != expected:
            raise ShapeError(f"expected one rank or {expected} of them, received {len(rank)}")
        bonds = [*rank, rank[0]] if closed else list(rank)
    if min(bonds) < 1:
        raise ShapeError(f"expected ranks >= 1, received {rank}")
    return bonds
