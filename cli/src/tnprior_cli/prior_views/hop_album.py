"""Mode hopping of a run: what was asked, and its rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from tnprior_cli.draw import Request
from tnprior_cli.errors import UsageError
from tnprior_cli.given import describe
from tnprior_cli.pieces import pieces
from tnprior_cli.prior_views.album import Album, Strip, write_album
from tnprior_cli.prior_views.exact import exact_prior
from tnprior_cli.prior_views.hopping import hop
from tnprior_models.layout import SiteLayout

USUAL_CHANGE = 5


@dataclass(frozen=True)
class HopRequest:
    """`request.number` trajectories of the first condition's prior, `hops` steps long.

    `change` latents are drawn anew at each hop; None for five, or all where there are fewer.
    """

    request: Request
    hops: int
    change: int | None

    @cached_property
    def latents(self) -> tuple[str, ...]:
        """The names of the latents."""
        prior = self.request.model.prior
        return tuple(prior.sites[at].name for at in SiteLayout.of(prior).latents)

    @property
    def changed(self) -> int:
        """How many latents a hop draws anew."""
        return min(USUAL_CHANGE, len(self.latents)) if self.change is None else self.change

    def check(self) -> dict[str, float]:
        """log p(condition) by its text, once everything that was asked for is possible.

        Raises:
            UsageError: more latents than there are, or a prior that is not exact.
            ImpossibleRequestError: the condition has probability zero.
        """
        exact_prior(self.request.model)
        if self.changed > len(self.latents):
            raise UsageError(
                f"--change {self.changed} is more than the {len(self.latents)} latents of this run"
            )
        return self.request.log_probabilities()

    def write(self, known: dict[str, float], folder: Path) -> None:
        """Writes the trajectories: images/, grid.png, hops.npz, manifest.csv.

        `hops.npz` holds, by trajectory and step, what `write_album` says, and changed (trajectories, hops, change),
        the numbers of the latents that were drawn anew.
        """
        text = describe(self.request.conditions[0])
        album = Album(
            run=self.request.run,
            model=self.request.model,
            archive="hops.npz",
            row="trajectory",
            step="hop",
            columns=["start", *(str(step + 1) for step in range(self.hops))],
            rows=self.request.number,
            heading=self._heading(text),
            arrays={"changed": (np.int64, (self.hops, self.changed))},
            same={"given": text, "log_p_given": f"{known[text]:.6f}"},
        )
        write_album(album, self._strips(), folder)

    def _heading(self, text: str) -> str:
        given = f" · given {text}" if self.request.conditions[0] else ""
        return f"{self.changed} of {len(self.latents)} latents drawn anew at each hop, the others kept{given}"

    def _strips(self) -> Iterator[Strip]:
        law = exact_prior(self.request.model).condition(self.request.evidence[0])
        for first, count in pieces(self.request.number, self.request.piece):
            found = hop(law, count, hops=self.hops, change=self.changed, seed=self.request.seed, first=first)
            for values, changed in zip(found.values, found.changed.numpy(), strict=True):
                names = ["", *("|".join(self.latents[k] for k in row) for row in changed)]
                yield Strip(values, {"changed": changed}, [{"changed": name} for name in names])
