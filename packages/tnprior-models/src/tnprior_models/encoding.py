"""Codes of many objects: the posteriors that a prior is fitted to, and the labels beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from tnprior_models.errors import ModelError
from tnprior_models.protocols import Encodes, EncodesLabelled, require

__all__ = ["Codes", "encode_dataset"]

ENCODE_BATCH = 512

Encoder = Callable[[Tensor, Tensor, Tensor, int], tuple[Any, Tensor, Tensor]]


@dataclass(frozen=True)
class Codes:
    """Posteriors of many images and their attribute table: all that fitting a prior needs.

    `mu`, `sigma` (n, d): mean and standard deviation of q(z|x); `codes` (n, A); `observed` (n, A).
    """

    mu: Float[Tensor, "n d"]
    sigma: Float[Tensor, "n d"]
    codes: Int[Tensor, "n A"]
    observed: Bool[Tensor, "n A"]

    def draw(self, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """One sample of q(z|x) for every image."""
        noise = torch.randn(self.mu.shape, generator=generator, dtype=self.mu.dtype, device="cpu").to(
            self.mu.device
        )
        return self.mu + self.sigma * noise

    def rows(self, index: Tensor | slice) -> Codes:
        """The posteriors and attributes of some of the images."""
        return Codes(self.mu[index], self.sigma[index], self.codes[index], self.observed[index])


@torch.no_grad()
def encode_dataset(
    model: object,
    x: Tensor,
    codes: Int[Tensor, "..."],
    observed: Bool[Tensor, "..."],
    *,
    limit: int | None = 20_000,
    seed: int = 0,
) -> Codes:
    """Encode a seeded choice of at most `limit` images (all for None), in the model's device and dtype.

    `x` is (n, C, H, W), uint8 (scaled by 1/255) or float in [0, 1]. A model whose codes need labels
    (`EncodesLabelled`, such as a CVAE) completes the table first: the answer then has every label, those that
    were missing as one seeded draw each.

    Raises:
        ModelError: no images, or tables of different length.
        CapabilityError: the model has no encoder.

    >>> from tnprior_core import Gaussian, StandardNormalPrior
    >>> from tnprior_models import VAE, Bernoulli, ConvDecoder, ConvEncoder
    >>> nets = [net((1, 8, 8), latent_size=1, width=8) for net in (ConvEncoder, ConvDecoder)]
    >>> vae, none = VAE(*nets, StandardNormalPrior([Gaussian("z0")]), Bernoulli()), torch.zeros(20, 0).long()
    >>> codes = encode_dataset(vae, torch.rand(20, 1, 8, 8), none, none.bool())
    >>> codes.mu.shape, bool((codes.sigma > 0).all())
    (torch.Size([20, 1]), True)
    """
    encode = _encoder(model, seed)
    if not x.shape[0] or not x.shape[0] == codes.shape[0] == observed.shape[0]:
        raise ModelError(
            "expected at least one image and as many rows of attributes, received "
            f"{x.shape[0]} images, {codes.shape[0]} rows of codes, {observed.shape[0]} of the mask"
        )
    count = x.shape[0] if limit is None else min(limit, x.shape[0])
    chosen = torch.randperm(x.shape[0], generator=torch.Generator().manual_seed(seed), device="cpu")[:count]
    home, parts = _home(model), list[Codes]()
    for number, index in enumerate(chosen.split(ENCODE_BATCH)):
        images = x[index.to(x.device)].to(home.device)
        scaled = images.to(home.dtype) / 255 if images.dtype == torch.uint8 else images.to(home.dtype)
        table = [part[index.to(part.device)].to(home.device) for part in (codes, observed)]
        posterior, known, mask = encode(scaled, table[0], table[1], number * ENCODE_BATCH)
        parts.append(Codes(posterior.mean, posterior.stddev, known, mask))
    return Codes(*(torch.cat(part) for part in zip(*map(_fields, parts), strict=True)))


def _encoder(model: object, seed: int) -> Encoder:
    """The model's posterior of some rows, with the table that belongs to it."""
    if isinstance(model, EncodesLabelled):
        labelled: EncodesLabelled = model

        def completed(x: Tensor, codes: Tensor, observed: Tensor, first: int) -> tuple[Any, Tensor, Tensor]:
            found = labelled.encode_labelled(x, codes, observed, seed=seed, first_row=first)
            return found.posterior, found.codes, torch.ones_like(observed)

        return completed
    encode = require(model, Encodes).encode
    return lambda x, codes, observed, first: (encode(x), codes, observed)


def _home(model: object) -> Tensor:
    """A tensor of the device and dtype in which images are encoded."""
    owner = model if isinstance(model, nn.Module) else getattr(model, "prior", None)
    return next(owner.parameters(), torch.empty(0)) if isinstance(owner, nn.Module) else torch.empty(0)


def _fields(codes: Codes) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return codes.mu, codes.sigma, codes.codes, codes.observed
