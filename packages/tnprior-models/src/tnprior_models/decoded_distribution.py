"""Queries to standard normal codes with decoded labels: what cannot be summed out is estimated, and drawn from q."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.distributions import Categorical, Independent, Normal

from tnprior_core import Gaussian as Latent
from tnprior_core import ImpossibleEvidenceError, LabelLegs, Legs, Mixture, StandardNormalPrior
from tnprior_models.decoding import decode_in_blocks
from tnprior_models.posterior_points import posterior_points

if TYPE_CHECKING:
    from tnprior_models.decoded_prior import DecodedPrior

__all__ = ["DecodedDistribution"]

POINTS = 256
"""Points of each of the two halves of the importance estimate."""

AT_ONCE = 1 << 15
"""Codes whose labels are decoded in one piece."""

GIVEN = 1e-4
"""An attribute counts as given where its evidence rates some label by so much below the best one."""


class DecodedDistribution:
    """`p(z, y)` of a `DecodedPrior` and its conditionals on any evidence about the attributes.

    * `condition` reads labels, sets, negations and likelihoods as every distribution of tnprior_core does.
    * `sample` draws `z ~ q(z|y_given)` and the labels that are not given from p(y|z). Where evidence leaves
      several labels, one is drawn first, as frequent as it is under the model.
    * `log_evidence` and `marginals` are importance estimates over 512 points, half of N(0, I), half of
      q(z|y_given), `p(e) ~ mean of p(z) p(e|z) / r(z)` with r the mixture of the two. No weight exceeds
      2 p(e|z), so a poor q costs precision and never the truth. Nothing is random in them. Source: Hesterberg
      1995, defensive mixture sampling.

    Args:
        prior: whose distribution it is.
        asked: what is known of the attributes; None for nothing.

    >>> from tnprior_core import Gaussian
    >>> from tnprior_core import Categorical as Attribute
    >>> from tnprior_models import DecodedPrior, DenseHead, LabelExperts
    >>> prior = DecodedPrior([Gaussian("z"), Attribute("hat")], DenseHead(1, 2), LabelExperts(2, 1))
    >>> p = DecodedDistribution(prior).condition({"hat": "1"})
    >>> p.marginal("hat").probs, bool(p.log_evidence < 0)
    (tensor([0., 1.]), True)
    """

    def __init__(self, prior: DecodedPrior, asked: Mixture | None = None) -> None:
        self._prior = prior
        self._asked = self._labels_apart if asked is None else asked
        self.sites = prior.sites

    @property
    def batch_shape(self) -> torch.Size:
        """() or, for evidence per example, (B,)."""
        return self._asked.batch_shape

    def condition(self, evidence: Mapping[str, Any]) -> DecodedDistribution:
        """The distribution given evidence about attributes.

        Raises:
            TnpriorError: unknown names or labels, or evidence about a continuous site.
        """
        other = DecodedDistribution(self._prior, self._asked.condition(dict(evidence)))
        other.__dict__["_labels_apart"] = self._labels_apart
        return other

    @cached_property
    @torch.no_grad()
    def log_evidence(self) -> Float[Tensor, "*batch"]:
        """log p(evidence) in nats: estimated, 0 without evidence, minus infinity where it contradicts itself.

        Raises:
            ImpossibleEvidenceError: some rows of a batch contradict themselves and others do not.
        """
        if not bool(self._asked.log_evidence.isfinite().any()) and self.batch_shape.numel():
            return torch.full_like(self._asked.log_evidence, -torch.inf)
        weights, _ = self._weights
        estimate = (weights.logsumexp(0) - math.log(weights.shape[0])).clamp_max(0.0)
        estimate = torch.where(self._given.any(-1), estimate, torch.zeros_like(estimate))
        return estimate.reshape(self.batch_shape)

    def marginal(self, name: str) -> Categorical:
        """p(y_a | evidence), estimated."""
        return self.marginals([name])[name]

    @torch.no_grad()
    def marginals(self, names: Sequence[str] | None = None) -> dict[str, Categorical]:
        """p(y_a | evidence) of the named attributes, or of all: estimated by the points of `log_evidence`."""
        weights, log_labels = self._weights
        weights = weights.softmax(0)[..., None]
        attributes = self._prior.layout.categorical
        found = {}
        for site, evidence, log_p in zip(
            attributes, self._tables, self._prior.rows.split(log_labels), strict=True
        ):
            shares = (log_p + evidence.log()).softmax(-1)
            probs = (weights * shares).sum(0).reshape(*self.batch_shape, -1)
            found[site.name] = Categorical(probs)
        return found if names is None else {name: found[name] for name in names}

    @torch.no_grad()
    def sample(
        self, sample_shape: torch.Size | Sequence[int] = (), *, seed: int | None = None, first: int = 0
    ) -> Float[Tensor, "*drawn K"]:
        """Draw (*sample_shape, *batch_shape, K) values; draw i of row b depends on (seed, first + i, b) alone.

        Raises:
            ImpossibleEvidenceError: the evidence contradicts itself.
        """
        if not bool(self._asked.log_evidence.isfinite().all()):
            raise ImpossibleEvidenceError(
                f"expected evidence of positive probability, received {self._asked!r}"
            )
        layout, count = self._prior.layout, torch.Size(sample_shape).numel()
        normal, uniform = self._noise(count, seed=seed, first=first)
        chosen, free = uniform.chunk(2, dim=-1)
        wanted = torch.stack([_pick(table, chosen[..., a]) for a, table in enumerate(self._likely)], dim=-1)
        given = self._given.expand(wanted.shape)
        place = first * wanted.shape[1]
        z = self._codes(wanted, given, normal, place)
        log_labels = decode_in_blocks(self._prior.log_labels, z.flatten(0, 1), first=place)
        decoded = self._prior.rows.split(log_labels.unflatten(0, wanted.shape[:2]))
        own = torch.stack([_pick(table.exp(), free[..., a]) for a, table in enumerate(decoded)], dim=-1)
        values = layout.join(z, torch.where(given, wanted, own))
        return values.reshape(*sample_shape, *self.batch_shape, values.shape[-1])

    def _codes(self, wanted: Tensor, given: Tensor, normal: Tensor, first: int) -> Float[Tensor, "count B d"]:
        """A code for each row of wanted labels, in blocks as images are decoded: products round by batch size."""
        count = wanted.shape[-1]

        def encode(block: Tensor) -> Tensor:
            code = self._prior.given(block[:, :count].long(), block[:, count:].bool()).base_dist
            return torch.cat([code.loc, code.scale], dim=-1)

        asked = torch.cat([wanted, given.to(wanted)], dim=-1).flatten(0, 1).to(normal)
        code = decode_in_blocks(encode, asked, first=first).unflatten(0, wanted.shape[:2])
        loc, scale = code.chunk(2, dim=-1)
        z: Tensor = loc + scale * normal
        return z

    @cached_property
    @torch.no_grad()
    def _labels_apart(self) -> Mixture:
        """Attributes that are independent of each other, each as frequent as under the model: reads evidence."""
        prior = self._prior
        z = self._normal_points()
        log_p = prior.log_labels(z).logsumexp((0, 1)) - math.log(z.shape[0])
        sites = prior.layout.categorical
        legs = [
            LabelLegs((a,), site.states, part.log_softmax(-1).view(1, 1, -1))
            for a, (site, part) in enumerate(zip(sites, prior.rows.split(log_p), strict=True))
        ]
        return Mixture(Legs(sites, legs), z.new_zeros(1))

    @cached_property
    def _likely(self) -> list[Float[Tensor, "B C"]]:
        """For each attribute the share of every label that the evidence leaves."""
        found: Any = self._asked.marginals()
        return [found[site.name].probs.reshape(-1, site.states) for site in self._prior.layout.categorical]

    @cached_property
    def _tables(self) -> list[Float[Tensor, "B C"]]:
        """For each attribute p(evidence | label), up to a factor that makes the largest one."""
        before: Any = self._labels_apart.marginals()
        ratios = [
            after / before[site.name].probs
            for after, site in zip(self._likely, self._prior.layout.categorical, strict=True)
        ]
        return [ratio / ratio.amax(-1, keepdim=True) for ratio in ratios]

    @cached_property
    def _given(self) -> Bool[Tensor, "B A"]:
        return torch.stack([(table < 1 - GIVEN).any(-1) for table in self._tables], dim=-1)

    @cached_property
    def _weights(self) -> tuple[Float[Tensor, "S B"], Float[Tensor, "S B L"]]:
        """Log importance weights `log p(z) + log p(e|z) - log r(z)`, and log p(y|z) at the points."""
        prior, given = self._prior, self._given
        best = torch.stack([table.argmax(-1) for table in self._likely], dim=-1)
        q, p = prior.given(best, given), prior.standard(self._likely[0])
        points = self._normal_points().expand(-1, len(best), -1)
        z = torch.cat([points, posterior_points(q, POINTS, seed=1)])
        at_once = max(1, AT_ONCE // len(best))
        log_labels = torch.cat([prior.log_labels(part) for part in z.split(at_once)])
        parts = zip(prior.rows.split(log_labels), self._tables, given.unbind(-1), strict=True)
        seen = [(log_p + table.log()).logsumexp(-1) * known for log_p, table, known in parts]
        log_p = p.log_prob(z)
        mixed = torch.logaddexp(log_p, q.log_prob(z)) - math.log(2)
        return log_p + torch.stack(seen).sum(0) - mixed, log_labels

    def _normal_points(self) -> Float[Tensor, "S 1 d"]:
        like = next(self._prior.parameters())
        zero = like.new_zeros(1, self._prior.layout.latent_size)
        standard = Independent(
            Normal(zero, torch.ones_like(zero), validate_args=False), 1, validate_args=False
        )
        return posterior_points(standard, POINTS, seed=0)

    def _noise(self, count: int, *, seed: int | None, first: int) -> tuple[Tensor, Tensor]:
        """Standard normal noise (count, B, d) for the codes and uniform noise (count, B, 2 A) for the labels."""
        layout = self._prior.layout
        size = layout.latent_size + 2 * len(layout.categorical)
        noise: Any = StandardNormalPrior([Latent(f"e{i}") for i in range(size)])()
        if self.batch_shape:
            nothing = torch.zeros(*self.batch_shape, size)
            noise = noise.observe(nothing, observed=nothing.bool())
        drawn = noise.sample((count,), seed=seed, first=first).detach()
        drawn = drawn.reshape(count, self.batch_shape.numel(), size).to(self._likely[0])
        normal, rest = drawn.split([layout.latent_size, size - layout.latent_size], dim=-1)
        uniform = torch.special.ndtr(rest.double()).to(rest)
        return normal, uniform.clamp_max(1 - torch.finfo(rest.dtype).eps)


def _pick(weights: Tensor, uniform: Tensor) -> Tensor:
    """A label for every number in [0, 1), in proportion to weights (..., C): never one of weight zero."""
    cumulative = weights.cumsum(-1)
    return (cumulative[..., :-1] <= uniform[..., None] * cumulative[..., -1:]).sum(-1)
