"""Codes of generated objects: what a prior is fitted to where no encoder says what the code of an object is."""

from __future__ import annotations

from typing import Protocol

import torch
from jaxtyping import Int
from torch import Tensor

from tnprior_models.encoding import ENCODE_BATCH, Codes
from tnprior_models.errors import ModelError
from tnprior_models.layout import SiteLayout
from tnprior_models.protocols import HasPrior, Samples, require

__all__ = ["LabelReader", "read_generated"]


class LabelReader(Protocol):
    """Reads the label of every attribute off objects; a classifier."""

    def __call__(self, x: Tensor, /) -> Int[Tensor, "B A"]:
        """Objects (B, ...) in [0, 1] -> codes (B, A)."""
        ...


@torch.no_grad()
def read_generated(model: object, read: LabelReader, n: int, *, seed: int = 0) -> Codes:
    """The codes of n objects of a model's own making, with labels that a classifier reads off them.

    `z ~ p(z)` of the model, `y = C(G(z))`. The codes are exact (their `sigma` is zero), every label is there, and as
    many of them can be had as one likes. A prior that is fitted to them (`fit_prior`) gives conditions to a model that
    was trained without any: its `p(z | y)` is what of the generator's own p(z) the classifier calls y.

    A classifier answers with the likeliest label. Labels drawn by its probabilities would leave objects between two
    labels, of which a GAN makes many, to both of them, and a request would be answered with them.

    Args:
        model: draws objects from a prior (`Samples`, `HasPrior`): a `GAN`, or any other.
        read: the classifier, see `LabelReader`; one that was trained on real objects and their observed labels.
        n: how many.
        seed: of the objects, as in `sample`.

    Raises:
        ModelError: fewer than one object, or a classifier whose answer is no table of codes.
        CapabilityError: the model draws no objects.

    >>> from tnprior_core import Gaussian, StandardNormalPrior
    >>> from tnprior_models import ImplicitModel
    >>> from tnprior_models.nets import DenseGenerator
    >>> model = ImplicitModel(DenseGenerator(1, 2), StandardNormalPrior([Gaussian("z0")]))
    >>> codes = read_generated(model, lambda x: (x[:, :1] > 0.5).long(), 5)
    >>> bool((codes.codes == (model.decode(codes.mu)[:, :1] > 0.5)).all()), bool(codes.sigma.any())
    (True, False)
    """
    draw, layout = require(model, Samples).sample, SiteLayout.of(require(model, HasPrior).prior)
    if n < 1:
        raise ModelError(f"expected at least one object, received n={n}")
    parts = list[tuple[Tensor, Tensor]]()
    for first in range(0, n, ENCODE_BATCH):
        drawn = draw(min(ENCODE_BATCH, n - first), seed=seed, first=first)
        z = drawn.values.index_select(-1, layout.latents.to(drawn.values.device))
        parts.append((z, _checked(read(drawn.x), len(z)).to(z.device)))
    z, codes = (torch.cat(part) for part in zip(*parts, strict=True))
    return Codes(z, torch.zeros_like(z), codes, torch.ones_like(codes, dtype=torch.bool))


def _checked(codes: Tensor, count: int) -> Tensor:
    if codes.dim() != 2 or len(codes) != count or not codes.shape[1] or codes.is_floating_point():
        raise ModelError(
            f"expected a classifier that gives integer codes ({count}, A) of at least one attribute, received "
            f"{codes.dtype} of shape {tuple(codes.shape)}"
        )
    return codes
