"""Interpolation along the prior of a run: what was asked, and its rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import Tensor

from tnprior_cli.conditions import requested_codes
from tnprior_cli.draw import Request
from tnprior_cli.given import Condition, combine, describe
from tnprior_cli.pieces import pieces
from tnprior_cli.prior_views.album import Album, Strip, write_album
from tnprior_cli.prior_views.exact import exact_prior, precise_prior
from tnprior_cli.prior_views.interpolation import laws_between, quarter_circle, same_noise, with_labels
from tnprior_cli.rundir import RunDirectory
from tnprior_core import SiteDistribution
from tnprior_models.layout import SiteLayout


@dataclass(frozen=True)
class Change:
    """From one condition to another, both besides what is given throughout."""

    before: Condition
    after: Condition


@dataclass(frozen=True)
class PathRequest:
    """`paths` ways of `steps` images: between samples given a condition or, with a change, from condition to condition.

    Row i of the former leads from object 2 i of `tnp sample` to object 2 i + 1; the latter starts from object i of
    the condition that it leaves.
    """

    run: RunDirectory
    given: Condition
    change: Change | None
    paths: int
    steps: int
    seed: int
    piece: int
    device: str

    @property
    def shares(self) -> list[float]:
        """How far along each step is, from 0 to 1."""
        return [step / (self.steps - 1) for step in range(self.steps)]

    @cached_property
    def request(self) -> Request:
        """The conditions: what is given throughout, and with either end of a change.

        Raises:
            UsageError: an attribute is both given and changed.
        """
        ends = () if self.change is None else (self.change.before, self.change.after)
        conditions = (self.given, *(combine(self.given, [end])[0] for end in ends))
        return Request(self.run, conditions, self.paths, self.seed, self.piece, self.device)

    def check(self) -> dict[str, float]:
        """log p(condition) by its text, of each of them, once everything that was asked for is possible.

        Raises:
            UsageError: the model's prior is not exact, or names do not fit.
            ImpossibleRequestError: a condition has probability zero.
        """
        exact_prior(self.request.model)
        return self.request.log_probabilities()

    def write(self, known: dict[str, float], folder: Path) -> None:
        """Writes the paths: images/, grid.png, paths.npz, manifest.csv.

        `paths.npz` holds, by path and step, what `write_album` says, and share (paths, steps), from 0 to 1.
        """
        text = describe(self.given)
        album = Album(
            run=self.run,
            model=self.request.model,
            archive="paths.npz",
            row="path",
            step="step",
            columns=self._columns(),
            rows=self.paths,
            heading=self._heading(),
            arrays={"share": (np.float64, (self.steps,))},
            same={"given": text, "log_p_given": f"{known[text]:.6f}", **self._ends()},
        )
        write_album(album, self._strips(), folder)

    def _ends(self) -> dict[str, str]:
        if self.change is None:
            return {}
        return {"from": describe(self.change.before), "to": describe(self.change.after)}

    def _columns(self) -> list[str]:
        inner = [f"{share:.0%}" for share in self.shares[1:-1]]
        if self.change is None:
            return ["sample", *inner, "sample"]
        return [describe(self.change.before), *inner, describe(self.change.after)]

    def _heading(self) -> str:
        given = f" · given {describe(self.given)}" if self.given else ""
        if self.change is None:
            return f"From sample to sample along the prior{given}"
        before, after = describe(self.change.before), describe(self.change.after)
        return f"From {before} to {after}: one noise in each row, the share of the latter over each column{given}"

    def _strips(self) -> Iterator[Strip]:
        single = exact_prior(self.request.model)
        laws = self._laws(precise_prior(self.request.model))
        notes = [{"share": f"{share:.4f}"} for share in self.shares]
        for first, count in pieces(self.paths, self.piece):
            z = self._latents(single, laws, first, count)
            values = with_labels(laws, z, seed=self.seed, first=first)
            for row in values.float():
                yield Strip(row, {"share": np.array(self.shares)}, notes)

    def _laws(self, prior: SiteDistribution) -> list[SiteDistribution]:
        """The distribution of each column."""
        law = prior.condition(self.request.evidence[0])
        if self.change is None:
            return [law] * self.steps
        schema = self.run.objects.schema()
        before, after = (requested_codes(end, schema) for end in (self.change.before, self.change.after))
        return laws_between(law, before, after, self.shares)

    def _latents(
        self, prior: SiteDistribution, laws: Sequence[SiteDistribution], first: int, count: int
    ) -> Tensor:
        """The latents of some rows, (n, steps, d), in double precision."""
        if self.change is None:
            drawn = self._objects(prior, 0, 2 * first, 2 * count)
            return quarter_circle(laws[0], (drawn[0::2], drawn[1::2]), self.shares)
        return same_noise(laws, self._objects(prior, 1, first, count))

    def _objects(self, prior: SiteDistribution, condition: int, first: int, count: int) -> Tensor:
        """The latents of what `tnp sample` draws."""
        law = prior.condition(self.request.evidence[condition])
        values = law.sample((count,), seed=self.seed, first=first)
        return SiteLayout(law.sites).to(values.device).latents_of(values)
