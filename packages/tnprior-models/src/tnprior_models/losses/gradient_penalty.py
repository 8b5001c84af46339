"""Penalties on the gradient of a critic."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from tnprior_models.errors import ModelError

__all__ = ["GradientNorm", "channel_norms", "gradient_penalty", "sample_norms", "zero_centred_penalty"]

GradientNorm: TypeAlias = Callable[[Tensor], Tensor]
"""Gradients (B, ...) -> the norms that are pulled to the slope, (B, ...)."""


def sample_norms(gradient: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
    """The norm of each example's whole gradient, the one that bounds the critic's slope.

    >>> sample_norms(torch.ones(2, 1, 2, 2))
    tensor([2., 2.])
    """
    norms: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    return norms


def channel_norms(gradient: Float[Tensor, "B C ..."]) -> Float[Tensor, "B ..."]:
    """The norm over the channels of every pixel apart: what the published program of TRIP penalises.

    It asks for slope 1 at every pixel, of the image about 64 at 64x64. Only to reproduce published numbers.

    >>> channel_norms(torch.ones(2, 1, 2, 2)).shape
    torch.Size([2, 2, 2])
    """
    norms: Tensor = torch.linalg.vector_norm(gradient, dim=1)
    return norms


def gradient_penalty(
    score: Callable[[Tensor], Tensor],
    real: Float[Tensor, "..."],
    fake: Float[Tensor, "..."],
    *,
    slope: float = 1.0,
    norms: GradientNorm = sample_norms,
) -> Float[Tensor, ""]:
    """`E (||grad f(u)|| / slope - 1)^2` at `u = t x + (1 - t) G(z)`, t uniform on [0, 1], one t per example.

    Differentiable in the critic's parameters, also where gradients are switched off around it.

    Args:
        score: f, objects (B, ...) -> scores (B,); each score must depend on its own object alone.
        real, fake: objects of one shape.
        slope: the norm asked for; 2 for images in [0, 1] is what 1 is for the same images in [-1, 1].
        norms: gradients -> norms, `sample_norms` or `channel_norms`.

    Raises:
        ModelError: as many fakes as real objects are needed, of the same shape.

    Source: Gulrajani et al. 2017 (WGAN-GP), equation 3.

    >>> gradient_penalty(lambda x: 3 * x[:, 0], torch.zeros(4, 2), torch.ones(4, 2))
    tensor(4.)
    """
    if real.shape != fake.shape:
        raise ModelError(
            f"expected as many fakes as real objects and of their shape, received {tuple(real.shape)} "
            f"and {tuple(fake.shape)}"
        )
    share = torch.rand(real.shape[0], *[1] * (real.ndim - 1), dtype=real.dtype, device=real.device)
    with torch.enable_grad():
        between = torch.lerp(fake.detach(), real.detach(), share).requires_grad_()
        scores = score(between)
        (gradient,) = torch.autograd.grad(scores, between, torch.ones_like(scores), create_graph=True)
        return (norms(gradient) / slope - 1).square().mean()


def zero_centred_penalty(
    score: Callable[[Tensor], Tensor], real: Float[Tensor, "B ..."]
) -> Float[Tensor, ""]:
    """`E ||grad f(x)||^2` at real objects: a critic that has nothing left to tell apart must be flat there.

    Differentiable in the critic's parameters, also where gradients are switched off around it.

    Args:
        score: f, objects (B, ...) -> scores (B,); each score must depend on its own object alone.
        real: objects.

    Source: Mescheder et al. 2018, equation 9 (R1).

    >>> zero_centred_penalty(lambda x: 3 * x[:, 0], torch.zeros(4, 2))
    tensor(9.)
    """
    with torch.enable_grad():
        x = real.detach().requires_grad_()
        scores = score(x)
        (gradient,) = torch.autograd.grad(scores, x, torch.ones_like(scores), create_graph=True)
        return gradient.flatten(1).square().sum(1).mean()
