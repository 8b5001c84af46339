"""Drawing several objects for each that is wanted, and keeping the one in which the model itself reads the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tnprior_core import Categorical, Likelihood, StandardNormalPrior
from tnprior_models.decoding import decode_in_blocks
from tnprior_models.errors import ModelError
from tnprior_models.protocols import HasPrior, Imputes, ReadsLabels, Sampled, Samples, require

__all__ = ["BestOf"]


class BestOf:
    """A model that draws `tries` objects for each and keeps the one with the largest `p(y_given | x)`.

    What is kept are the clearest examples of a condition, and no longer draws of `p(x | y_given)`: their attributes
    are met more often, and they vary less. It helps where a label is rare, which a decoder was shown a few times
    only. `p(y_given | x)` is the product over the requested attributes of what `read_labels` says of the object, or,
    where a model has no such method, `impute` of the object alone.

    Object i is the best of the objects `i tries` ... `i tries + tries - 1` of the model's own stream, so that it
    depends on the seed and on i and neither on n nor on `first`. Where no attribute is requested there is nothing to
    choose by, and the model is asked as it is.

    Args:
        model: what satisfies `Samples`, `HasPrior`, and `ReadsLabels` or `Imputes`.
        tries: objects drawn for each that is kept, at least 1.

    Raises:
        ModelError: fewer than one.
        CapabilityError: a model that reads no attributes, such as an `ImplicitModel`.

    >>> from tnprior_core import Categorical, Gaussian, TensorTrainPrior
    >>> from tnprior_models import VAE, Bernoulli, ConvDecoder, ConvEncoder
    >>> nets = [net((1, 8, 8), latent_size=1, width=8) for net in (ConvEncoder, ConvDecoder)]
    >>> vae = VAE(*nets, TensorTrainPrior([Gaussian("z0", 3), Categorical("hat")], rank=2), Bernoulli())
    >>> BestOf(vae, tries=4).sample(5, {"hat": "1"}, seed=0).x.shape
    torch.Size([5, 1, 8, 8])
    """

    def __init__(self, model: object, tries: int) -> None:
        if tries < 1:
            raise ModelError(f"expected at least one try, received {tries}")
        require(model, Samples)
        require(model, HasPrior)
        if not isinstance(model, ReadsLabels):
            require(model, Imputes)
        self.model: Any = model
        self.tries = tries

    @property
    def prior(self) -> nn.Module:
        """The model's prior."""
        found: nn.Module = self.model.prior
        return found

    @torch.no_grad()
    def sample(
        self, n: int, given: Mapping[str, Any] | None = None, seed: int | None = None, first: int = 0
    ) -> Sampled:
        """The best objects `first` to `first + n - 1`; arguments, shapes and errors as of the model's `sample`."""
        attributes = {site.name for site in _attributes(self.prior)}
        requested = {name: word for name, word in (given or {}).items() if name in attributes}
        if self.tries == 1 or n == 0 or not requested:
            asked: Sampled = self.model.sample(n, given, seed, first)
            return asked
        drawn = self.model.sample(n * self.tries, given, seed, first * self.tries)
        tables = self._read(drawn.x.flatten(0, drawn.values.dim() - 2), first=first * self.tries)
        per_draw = [table.unflatten(0, drawn.values.shape[:-1]) for table in tables]
        if drawn.values.dim() == 2:
            met = self._log_met(per_draw, requested)
        else:  # a condition per row, the same rows in every draw
            met = torch.stack([self._log_met(draw, requested) for draw in zip(*per_draw, strict=True)])
        best = met.unflatten(0, (n, self.tries)).argmax(1)
        x, values = (_of_tries(part.unflatten(0, (n, self.tries)), best) for part in drawn[:2])
        return Sampled(x, values, drawn.log_evidence)

    def _read(self, x: Float[Tensor, "n ..."], *, first: int) -> list[Float[Tensor, "n _"]]:
        """`p(y_a | x)` of every attribute or what stands for it, the objects beginning with number `first` of a stream.

        In the blocks of `decode_in_blocks`: between two objects that are read alike the last bits decide.
        """
        sites = _attributes(self.prior)

        def read(rows: Tensor) -> Tensor:
            objects = rows.unflatten(1, x.shape[1:])
            if isinstance(self.model, ReadsLabels):
                return torch.cat(self.model.read_labels(objects), 1)
            hidden = torch.zeros(len(rows), len(sites), dtype=torch.long, device=rows.device)
            return torch.cat(self.model.impute(objects, hidden, hidden.bool()), 1)

        found = decode_in_blocks(read, x.flatten(1), first=first)
        return list(found.split([site.states for site in sites], 1))

    def _log_met(
        self, tables: Sequence[Float[Tensor, "n _"]], given: Mapping[str, Any]
    ) -> Float[Tensor, " n"]:
        """`sum_a log p(y_a in given_a | x)`, up to a constant, of evidence of any kind, shared or one per object."""
        # Independent attributes whose likelihood is what was read: the evidence is then a question to them.
        asked = [pair for pair in zip(_attributes(self.prior), tables, strict=True) if pair[0].name in given]
        told = {site.name: Likelihood(table) for site, table in asked}
        read = StandardNormalPrior([site for site, _ in asked]).to(tables[0])().condition(told)
        met: Tensor = read.condition(dict(given)).log_evidence
        return met


def _attributes(prior: Any) -> list[Categorical]:
    return [site for site in prior.sites if isinstance(site, Categorical)]


def _of_tries(tries: Float[Tensor, "n tries ..."], best: Int[Tensor, "n ..."]) -> Tensor:
    """The entry `best` (n, *rows) of the second axis of `tries` (n, tries, *rows, ...)."""
    index = best.view(len(best), 1, *best.shape[1:], *[1] * (tries.dim() - best.dim() - 1))
    return tries.gather(1, index.expand(-1, 1, *tries.shape[2:])).squeeze(1)
