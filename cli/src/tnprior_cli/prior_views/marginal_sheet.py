"""Two-dimensional marginals of a run's prior: what was asked, the picture and the numbers."""

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tnprior_cli.draw import Request
from tnprior_cli.errors import UsageError
from tnprior_cli.given import describe
from tnprior_cli.matching import unknown
from tnprior_cli.prior_views.contours import MASSES, save_contours
from tnprior_cli.prior_views.densities import Density, dependent_pairs, grid_of, pair_density
from tnprior_cli.prior_views.exact import closed, exact_prior, precise_prior
from tnprior_core import Gaussian, SiteDistribution

Pair = tuple[str, str]


@dataclass(frozen=True)
class MarginalRequest:
    """Densities of pairs of latents under each condition of `request`, of which the first is the empty one.

    Args:
        request: the run, the conditions, the seed of the samples that choose pairs.
        named: the pairs; None for the `number` that depend most on each other.
        number: how many, where none is named.
        points: of a grid, for each latent.
    """

    request: Request
    named: tuple[Pair, ...] | None
    number: int
    points: int

    def check(self) -> dict[str, float]:
        """log p(condition) by its text, of each, once everything that was asked for is possible.

        Raises:
            UsageError: a pair that is not of two latents, or a prior without closed marginals.
            ImpossibleRequestError: a condition has probability zero.
        """
        law = closed(exact_prior(self.request.model))
        names = [site.name for site in law.sites if isinstance(site, Gaussian)]
        for name in (name for pair in self.named or () for name in pair):
            if name not in names:
                raise UsageError(unknown("latent", name, names))
        if len(names) < 2:
            raise UsageError(f"a pair needs two latents; this run has {len(names)}")
        return self.request.log_probabilities()

    @cached_property
    def found(self) -> dict[str, list[Density]]:
        """By text of a condition its densities, the same pairs for all: as named, or the most dependent ones first."""
        laws = self._laws()
        prior, *_ = laws.values()
        pairs = list(self.named or dependent_pairs(prior, self.number, seed=self.request.seed))
        grids = {
            name: grid_of(list(laws.values()), name, self.points)
            for name in dict.fromkeys(name for pair in pairs for name in pair)
        }
        found = {
            text: [pair_density(law, pair, (grids[pair[0]], grids[pair[1]])) for pair in pairs]
            for text, law in laws.items()
        }
        if self.named:
            return found
        nats, *_ = ([density.information for density in densities] for densities in found.values())
        order = sorted(range(len(pairs)), key=lambda at: -nats[at])
        return {text: [densities[at] for at in order] for text, densities in found.items()}

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """For each pair and condition: how much the two depend on each other, and the mass on the grid."""
        laws = self._laws()
        groups = zip(*self.found.values(), strict=True)
        return [
            _row(text, laws[text], density)
            for group in groups
            for text, density in zip(self.found, group, strict=True)
        ]

    def write(self, folder: Path) -> None:
        """Writes marginals.png, marginals.csv (the rows) and marginals.npz.

        `marginals.npz` holds pairs (pairs, 2) and given (conditions,), texts; first and second (pairs, points), the
        grids; density (conditions, pairs, points, points), the first latent along the rows.
        """
        found = self.found
        pictures = {"prior" if text == describe(()) else f"given {text}": found[text] for text in found}
        save_contours(pictures, self._heading(), folder / "marginals.png")
        with (folder / "marginals.csv").open("w", newline="", encoding="utf-8") as file:
            rows = [{key: _text(value) for key, value in row.items()} for row in self.rows]
            table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
        some, *_ = found.values()
        np.savez(
            folder / "marginals.npz",
            pairs=np.array([density.pair for density in some]),
            given=np.array(list(found)),
            first=np.stack([density.first.cpu().numpy() for density in some]),
            second=np.stack([density.second.cpu().numpy() for density in some]),
            density=np.stack(
                [[density.values.cpu().numpy() for density in group] for group in found.values()]
            ),
        )

    def _heading(self) -> str:
        *outer, last = (f"{mass:.0%}" for mass in sorted(MASSES))
        law = exact_prior(self.request.model)
        turned = "" if closed(law) is law else ", along the axes that the prior turned the codes to"
        return (
            f"Exact densities of pairs of latents{turned}. Lines hold {', '.join(outer)} and {last} of the mass; "
            "nats are the mutual information of the two."
        )

    def _laws(self) -> dict[str, SiteDistribution]:
        prior = closed(precise_prior(self.request.model))
        conditions = zip(self.request.conditions, self.request.evidence, strict=True)
        return {describe(condition): prior.condition(evidence) for condition, evidence in conditions}


def _row(given: str, law: SiteDistribution, density: Density) -> dict[str, Any]:
    covariance = law.covariance(density.pair)
    return {
        "first": density.pair[0],
        "second": density.pair[1],
        "given": given,
        "correlation": float(covariance[0, 1] / covariance.diagonal().sqrt().prod()),
        "information": density.information,
        "mass": density.mass,
    }


def _text(value: Any) -> str:
    return f"{value:.6f}" if isinstance(value, float) else str(value)
