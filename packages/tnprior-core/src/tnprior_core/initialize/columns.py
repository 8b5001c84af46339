"""Tables that initialisation starts from: what is checked of them, and quantiles of long columns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tnprior_core.errors import ShapeError
from tnprior_core.sites import Categorical, Gaussian, Site

__all__ = ["check_attributes", "check_latents", "quantiles"]


def check_latents(sites: Sequence[Site], z: Tensor) -> None:
    """Raise ShapeError unless `z` is (n, d), n >= 1, finite, with one column per continuous site."""
    expected = sum(isinstance(site, Gaussian) for site in sites)
    if z.dim() != 2 or z.shape[1] != expected or z.shape[0] < 1:
        raise ShapeError(f"expected latent codes of shape (n, {expected}), n >= 1, received {tuple(z.shape)}")
    if not bool(torch.isfinite(z).all()):
        raise ShapeError("expected finite latent codes, received NaN or infinity")


def check_attributes(
    sites: Sequence[Site], z: Tensor, codes: Int[Tensor, "_ _"], observed: Bool[Tensor, "_ _"]
) -> None:
    """Raise ShapeError unless codes and mask are (n, A) beside `z` (n, d) and observed codes are labels."""
    attributes = [site for site in sites if isinstance(site, Categorical)]
    expected = (z.shape[0], len(attributes))
    if tuple(codes.shape) != expected or tuple(observed.shape) != expected:
        raise ShapeError(
            f"expected codes and observed of shape {expected}, received {tuple(codes.shape)} "
            f"and {tuple(observed.shape)}"
        )
    limit = torch.tensor([site.states for site in attributes], device=codes.device)
    wrong = observed & ((codes < 0) | (codes >= limit))
    if bool(wrong.any()):
        row, column = wrong.nonzero()[0].tolist()
        site = attributes[column]
        raise ShapeError(
            f"site {site.name!r}, example {row}: expected an integer code 0 ... {site.states - 1}, "
            f"received {int(codes[row, column])}; mark missing cells as False in `observed`"
        )


def quantiles(z: Float[Tensor, "n d"], levels: Float[Tensor, " q"]) -> Float[Tensor, "q d"]:
    """Return the quantiles of every column, linear between neighbours, of tables of any length.

    `torch.quantile` refuses more than 16 million numbers: a hundred latents of a data set of faces.

    >>> quantiles(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([0.25, 1.0])).flatten()
    tensor([1.5000, 4.0000])
    """
    ordered = z.sort(0).values
    position = levels * (len(z) - 1)
    below = position.floor().long()
    above = (below + 1).clamp_max(len(z) - 1)
    return torch.lerp(ordered[below], ordered[above], (position - below).to(z).unsqueeze(1))
