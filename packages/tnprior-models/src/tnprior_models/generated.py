"""Codes of generated objects: what a prior is fitted to where no encoder says what the code of an object is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from tnprior_models.encoding import ENCODE_BATCH, Codes
from tnprior_models.errors import ModelError
from tnprior_models.layout import SiteLayout
from tnprior_models.protocols import HasPrior, Samples, require

__all__ = ["LabelReader", "read_generated"]


class LabelReader(Protocol):
    """Reads every attribute's label off objects; a classifier's probabilities."""

    def __call__(self, x: Tensor, /) -> Sequence[Tensor]:
        """Objects (B, ...) in [0, 1] -> for every attribute the probabilities of its labels, (B, C_a)."""
        ...


@torch.no_grad()
def read_generated(model: object, read: LabelReader, n: int, *, seed: int = 0) -> Codes:
    """The codes of n objects of a model's own making, with labels that a classifier reads off them.

    `z ~ p(z)` of the model, `y_a ~ C_a(y_a | G(z))` of the classifier. The codes are exact (their `sigma` is zero),
    every label is there, and as many of them can be had as one likes. A prior that is fitted to them (`fit_prior`)
    gives conditions to a model that was trained without any: `p(z, y)` comes close to `p(z) C(y | G(z))`, so `p(z | y)`
    keeps to what the generator knows, and says where in it the label lies.

    Args:
        model: draws objects from a prior (`Samples`, `HasPrior`): a `GAN`, or any other.
        read: the classifier, see `LabelReader`; one that was trained on real objects and their observed labels.
        n: how many.
        seed: of the objects, as in `sample`, and of their labels; no global generator is used.

    Raises:
        ModelError: fewer than one object, or a classifier without attributes.
        CapabilityError: the model draws no objects.

    >>> from tnprior_core import Gaussian, StandardNormalPrior
    >>> from tnprior_models import ImplicitModel
    >>> from tnprior_models.nets import DenseGenerator
    >>> model = ImplicitModel(DenseGenerator(1, 2), StandardNormalPrior([Gaussian("z0")]))
    >>> codes = read_generated(model, lambda x: [torch.eye(2)[(x[:, 0] > 0.5).long()]], 5)
    >>> bool((codes.codes == (model.decode(codes.mu)[:, :1] > 0.5)).all()), bool(codes.sigma.any())
    (True, False)
    """
    draw, layout = require(model, Samples).sample, SiteLayout.of(require(model, HasPrior).prior)
    if n < 1:
        raise ModelError(f"expected at least one object, received n={n}")
    generator, parts = torch.Generator().manual_seed(seed), list[tuple[Tensor, Tensor]]()
    for first in range(0, n, ENCODE_BATCH):
        drawn = draw(min(ENCODE_BATCH, n - first), seed=seed, first=first)
        z = drawn.values.index_select(-1, layout.latents.to(drawn.values.device))
        parts.append((z, _labels(read(drawn.x), generator).to(z.device)))
    z, codes = (torch.cat(part) for part in zip(*parts, strict=True))
    return Codes(z, torch.zeros_like(z), codes, torch.ones_like(codes, dtype=torch.bool))


def _labels(tables: Sequence[Float[Tensor, "B _"]], generator: torch.Generator) -> Tensor:
    """One draw of every attribute, (B, A)."""
    if not tables:
        raise ModelError("expected a classifier of at least one attribute, received none")
    columns = [torch.multinomial(table.double().cpu(), 1, generator=generator) for table in tables]
    return torch.cat(columns, dim=1)
