"""Decoding so that a sample never changes with the request it is part of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from tnprior_models.errors import ModelError
from tnprior_models.likelihoods import ImageLikelihood
from tnprior_models.protocols import Sampled

__all__ = ["decode_in_blocks", "decoded_log_likelihood", "draw_objects", "in_pieces"]

DECODE_AT_ONCE = 2048
"""Images decoded in one piece while bounding a likelihood; larger pieces leave the cache."""

DECODE_BLOCK = 64
"""Codes are decoded in blocks of this size at fixed offsets of the stream: convolution kernels round
differently for different batch sizes, and a sample must not change with the request it is part of."""


def decode_in_blocks(
    decode: Callable[[Tensor], Tensor], codes: Float[Tensor, "n d"], *, first: int
) -> Float[Tensor, "n ..."]:
    """`decode(codes)`, where row i is number `first + i` of a stream and is always decoded in the same block.

    >>> decode_in_blocks(lambda block: block[:, :, None, None], torch.ones(3, 2), first=63).shape
    torch.Size([3, 2, 1, 1])
    """
    before = first % DECODE_BLOCK
    after = -(before + codes.shape[0]) % DECODE_BLOCK
    blocks = pad(codes, (0, 0, before, after)).split(DECODE_BLOCK) if codes.shape[0] else (codes,)
    return torch.cat([decode(block) for block in blocks])[before : before + codes.shape[0]]


def decoded_log_likelihood(
    decoder: Callable[[Tensor], Tensor],
    likelihood: ImageLikelihood,
    codes: Float[Tensor, "S B d"],
    x: Float[Tensor, "B C H W"],
) -> Float[Tensor, "S B"]:
    """`log p(x | decoder(codes_s))`, nats per image; the likelihood always in the precision of the codes.

    >>> from tnprior_models import Bernoulli
    >>> x = torch.ones(3, 1, 1, 1)
    >>> decoded_log_likelihood(lambda z: z[:, :, None, None], Bernoulli(), torch.zeros(2, 3, 1), x).shape
    torch.Size([2, 3])
    """
    decoded = decoder(codes.flatten(0, 1))
    with torch.autocast(codes.device.type, enabled=False):
        target = x.expand(codes.shape[0], *x.shape).flatten(0, 1).to(codes.dtype)
        return likelihood.log_prob(decoded.to(codes.dtype), target).reshape(codes.shape[:2])


def in_pieces(
    log_likelihood: Callable[..., Tensor], parts: Sequence[Float[Tensor, "S B _"]]
) -> Float[Tensor, "S B"]:
    """`log_likelihood(*parts)` of some of the S samples at a time: more images at once leave the cache.

    >>> z = torch.ones(5, 1000, 1)
    >>> in_pieces(lambda piece: piece[..., 0] * len(piece), [z])[:, 0]
    tensor([2., 2., 2., 2., 1.])
    """
    at_once = max(1, DECODE_AT_ONCE // max(1, parts[0].shape[1]))
    pieces = zip(*(part.split(at_once) for part in parts), strict=True)
    return torch.cat([log_likelihood(*piece) for piece in pieces])


@torch.no_grad()
def draw_objects(
    prior: nn.Module,
    decode: Callable[[Tensor], Tensor],
    n: int,
    given: Mapping[str, Any] | None,
    *,
    seed: int | None,
    first: int,
) -> Sampled:
    """Objects `first` to `first + n - 1` of a stream: values of the prior given a condition, decoded.

    Args:
        prior: its call returns a distribution over K sites.
        decode: rows of site values (B, K) -> objects (B, ...).
        n, given, seed, first: as in `VAE.sample`.

    Raises:
        ModelError: a negative number of objects or place in the stream.
        TnpriorError: unknown names or labels; an impossible condition.

    >>> from tnprior_core import Gaussian, StandardNormalPrior
    >>> prior = StandardNormalPrior([Gaussian("z0"), Gaussian("z1")])
    >>> draw_objects(prior, lambda values: values[:, :, None, None], 3, None, seed=0, first=0).x.shape
    torch.Size([3, 2, 1, 1])
    """
    if n < 0 or first < 0:
        raise ModelError(f"expected n >= 0 and first >= 0, received n={n}, first={first}")
    conditioned = prior().condition(dict(given or {}))
    values = conditioned.sample((n,), seed=seed, first=first)
    rows = values.shape[1:-1].numel()
    x = decode_in_blocks(decode, values.reshape(-1, values.shape[-1]), first=first * rows)
    return Sampled(x.unflatten(0, values.shape[:-1]), values, conditioned.log_evidence)
