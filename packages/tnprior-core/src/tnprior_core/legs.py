"""The legs of a network: component densities of all sites, stacked, and evidence turned into weight rows.

Sites of one kind and size share one tensor, so that a hundred latents cost one operation and not a hundred.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tnprior_core.errors import ShapeError
from tnprior_core.knowledge import Exact, Knowledge, SoftLabels, SoftNormal
from tnprior_core.normal import log_interval, log_normal
from tnprior_core.normal_rows import normal_rows
from tnprior_core.sites import Categorical, Gaussian, Site, check_sites

__all__ = ["Block", "GaussianLegs", "LabelLegs", "Legs", "log_total"]


@dataclass(frozen=True)
class Block:
    """Log-weight rows of several sites in one tensor: `rows` (G, Be, N) belongs to `sites` (G).

    free
        nothing is known of them: the rows are zeros.
    """

    sites: tuple[int, ...]
    rows: Tensor
    free: bool = False


@dataclass(frozen=True)
class GaussianLegs:
    """Normal components of continuous sites: `mean` and `log_sigma` (G, N).

    batch_last
        rows of a batch have their examples next to each other in memory, as a ring of blocks walks them.
    """

    sites: tuple[int, ...]
    mean: Tensor
    log_sigma: Tensor
    batch_last: bool = False

    @property
    def states(self) -> int:
        """Number of components, N."""
        return self.mean.shape[1]

    def exact_rows(self, chosen: Sequence[int], values: Tensor) -> Tensor:
        """`log N(v_b; mu_s, sigma_s)`, (G', B, N), of values (B, G') at the chosen rows of the group."""
        mean, log_sigma = _choose(self.mean, chosen), _choose(self.log_sigma, chosen)
        return normal_rows(values, mean, log_sigma, batch_last=self.batch_last)

    def soft_row(self, position: int, soft: SoftNormal) -> Tensor:
        """`log` of the integral of component times likelihood, (Be, N)."""
        mean, sigma = self.updated(position, soft)
        own, noise, measured = self._widths(position, soft)
        spread = 0.5 * torch.logaddexp(2 * own, 2 * noise)
        seen = log_normal(soft.value.unsqueeze(1), self.mean[position], spread)
        seen = torch.where(measured, seen, torch.zeros_like(seen))
        inside = log_interval(soft.low.unsqueeze(1), soft.high.unsqueeze(1), mean, sigma)
        return soft.log_constant.unsqueeze(1) + seen + inside

    def updated(self, position: int, soft: SoftNormal) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (Be, N) of each component given the measurement (before the interval)."""
        own, noise, measured = self._widths(position, soft)
        zero = torch.zeros_like(own)
        # sigma^2 = own^2 noise^2 / (own^2 + noise^2) in logarithms: `1 - gain` would lose a precise measurement.
        gain = torch.where(measured, torch.sigmoid(2 * (own - noise)), zero)
        mean = self.mean[position] + gain * (soft.value.unsqueeze(1) - self.mean[position])
        shrunk = torch.where(measured, 0.5 * torch.nn.functional.logsigmoid(2 * (noise - own)), zero)
        return mean, (own + shrunk).exp()

    def _widths(self, position: int, soft: SoftNormal) -> tuple[Tensor, Tensor, Tensor]:
        """`log sigma` of the components (N,) and of the measurement (Be, 1), and where there is one."""
        measured = soft.measured.unsqueeze(1)
        noise = soft.log_sigma.unsqueeze(1)
        return self.log_sigma[position], torch.where(measured, noise, torch.zeros_like(noise)), measured


@dataclass(frozen=True)
class LabelLegs:
    """Categorical sites; `log_emission` (G, N, C) is log p(label | component), None where they are the same."""

    sites: tuple[int, ...]
    labels: int
    log_emission: Tensor | None = None

    @property
    def states(self) -> int:
        """Number of components, N."""
        return self.labels if self.log_emission is None else self.log_emission.shape[1]

    def rows(self, chosen: Sequence[int], log_likelihood: Tensor) -> Tensor:
        """Rows (G', Be, N) of likelihoods (G', Be, C) over the labels."""
        if self.log_emission is None:
            return log_likelihood
        emission = _choose(self.log_emission, chosen)
        return log_total(log_likelihood.unsqueeze(2) + emission.unsqueeze(1), 3)

    def exact_rows(self, chosen: Sequence[int], values: Tensor) -> Tensor:
        """Rows (G', B, N) of labels that are known exactly, values (B, G'): each row is one column of the emission."""
        codes = values.mT
        if self.log_emission is None:
            hit = codes.unsqueeze(2) == torch.arange(self.labels, device=values.device)
            return torch.where(hit, 0.0, -torch.inf).to(values.dtype)
        emission = _choose(self.log_emission, chosen)
        code = codes.long().clamp(0, self.labels - 1)
        found = emission.gather(2, code.unsqueeze(1).expand(-1, emission.shape[1], -1)).mT
        return torch.where((code == codes).unsqueeze(2), found, -torch.inf)


LegGroup = GaussianLegs | LabelLegs


class Legs:
    """All sites of a distribution with the parameters of their components.

    sites
        in the order in which queries see them, K of them.
    groups
        every site in exactly one group.

    >>> legs = Legs.of([Gaussian("z0", 2), Categorical("hat")], {"z0": (torch.zeros(2), torch.zeros(2))})
    >>> [group.states for group in legs.groups]
    [2, 2]
    """

    def __init__(self, sites: Iterable[Site], groups: Sequence[LegGroup]) -> None:
        """Check that the groups cover the sites."""
        self.sites = check_sites(sites)
        self.groups = tuple(groups)
        covered = sorted(site for group in self.groups for site in group.sites)
        if covered != list(range(len(self.sites))):
            raise ShapeError(
                f"expected groups that cover each of {len(self.sites)} sites once, received {covered}"
            )
        self.where = {site: (group, at) for group in self.groups for at, site in enumerate(group.sites)}

    @classmethod
    def of(cls, sites: Sequence[Site], components: Mapping[str, tuple[Tensor, Tensor]]) -> Legs:
        """Build from `name -> (mean, log_sigma)`, each (N_k,), of every continuous site."""
        groups: list[LegGroup] = []
        for index, site in enumerate(sites):
            if isinstance(site, Categorical):
                groups.append(LabelLegs((index,), site.states))
                continue
            mean, log_sigma = components[site.name]
            if mean.shape != (site.states,) or log_sigma.shape != (site.states,):
                raise ShapeError(
                    f"site {site.name!r}: expected mean and log_sigma of shape ({site.states},), "
                    f"received {tuple(mean.shape)} and {tuple(log_sigma.shape)}"
                )
            groups.append(GaussianLegs((index,), mean.unsqueeze(0), log_sigma.unsqueeze(0)))
        return cls(sites, groups)

    @property
    def continuous(self) -> tuple[int, ...]:
        """Positions of the continuous sites."""
        return tuple(index for index, site in enumerate(self.sites) if isinstance(site, Gaussian))

    def blocks(self, knowledge: Knowledge, like: Tensor) -> list[Block]:
        """Turn knowledge into log-weight rows of all sites (zeros where nothing is known).

        like
            a tensor that gives dtype and device.
        """
        touched = knowledge.exact.columns if knowledge.exact is not None else set()
        blocks: list[Block] = []
        for group in self.groups:
            exact = [
                at for at, site in enumerate(group.sites) if site in touched and site not in knowledge.soft
            ]
            free = [
                at
                for at, site in enumerate(group.sites)
                if site not in touched and site not in knowledge.soft
            ]
            if exact and knowledge.exact is not None:
                blocks.append(_exact_block(group, exact, knowledge.exact))
            if free:
                rows = like.new_zeros(len(free), 1, group.states)
                blocks.append(Block(tuple(group.sites[at] for at in free), rows, free=True))
        blocks.extend(self._soft_block(site, knowledge) for site in knowledge.soft)
        return blocks

    def _soft_block(self, site: int, knowledge: Knowledge) -> Block:
        group, at = self.where[site]
        soft, exact = knowledge.soft[site], knowledge.exact
        if isinstance(group, GaussianLegs) and isinstance(soft, SoftNormal):
            row = group.soft_row(at, soft).unsqueeze(0)
        elif isinstance(group, LabelLegs) and isinstance(soft, SoftLabels):
            row = group.rows([at], soft.log_likelihood.unsqueeze(0))
        else:
            raise ShapeError(f"site {self.sites[site].name!r}: evidence of the wrong kind reached the legs")
        if exact is None or site not in exact.columns:
            return Block((site,), row)
        known = exact.known[:, site]
        value = torch.where(known, exact.values[:, site], torch.zeros_like(exact.values[:, site]))
        precise = _exact_block(group, [at], exact).rows
        seen = soft.at(value.long() if isinstance(soft, SoftLabels) else value)
        return Block((site,), torch.where(known[None, :, None], precise + seen[None, :, None], row))


def log_total(logs: Tensor, dim: int) -> Tensor:
    """Return `log sum exp` over `dim`; minus infinity has gradient zero where nothing is possible, not NaN.

    >>> log_total(torch.full((2,), -torch.inf), 0)
    tensor(-inf)
    """
    dead = (logs == -torch.inf).all(dim)
    total = torch.logsumexp(torch.where(dead.unsqueeze(dim), torch.zeros_like(logs), logs), dim)
    return torch.where(dead, torch.full_like(total, -torch.inf), total)


def _exact_block(group: LegGroup, chosen: Sequence[int], exact: Exact) -> Block:
    sites = tuple(group.sites[at] for at in chosen)
    columns = torch.as_tensor(sites, device=exact.values.device)
    known = exact.known.index_select(1, columns)
    values = exact.values.index_select(1, columns)
    if exact.complete:
        return Block(sites, group.exact_rows(chosen, values))
    # Replaced before any arithmetic: a NaN in an unknown cell must not reach a gradient.
    values = torch.where(known, values, torch.zeros_like(values))
    rows = group.exact_rows(chosen, values)
    return Block(sites, torch.where(known.mT.unsqueeze(2), rows, 0.0))


def _choose(table: Tensor, chosen: Sequence[int]) -> Tensor:
    return table if len(chosen) == table.shape[0] else table[list(chosen)]
