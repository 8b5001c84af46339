"""Orders of the sites along the chain: random, or by what the latents know of the attributes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tnprior_core.initialize.columns import check_attributes, check_latents, quantiles
from tnprior_core.sites import Categorical, Site

__all__ = ["information_order", "interleaved_order", "mutual_information", "random_order"]


def interleaved_order(sites: Sequence[Site]) -> tuple[int, ...]:
    """Spread the attributes evenly among the latents, each in the middle of its share.

    The order to start from before any code has been seen, with `initialize_from_labels`.

    >>> from tnprior_core import Gaussian
    >>> interleaved_order([*(Gaussian(f"z{i}") for i in range(4)), Categorical("a"), Categorical("b")])
    (0, 4, 1, 2, 5, 3)
    """
    latents = [index for index, site in enumerate(sites) if not isinstance(site, Categorical)]
    attributes = [index for index, site in enumerate(sites) if isinstance(site, Categorical)]
    order: list[int] = []
    for a, attribute in enumerate(attributes):
        share = latents[a * len(latents) // len(attributes) : (a + 1) * len(latents) // len(attributes)]
        half = len(share) // 2
        order += [*share[:half], attribute, *share[half:]]
    return tuple(order) if attributes else tuple(latents)


def random_order(sites: Sequence[Site], *, seed: int = 0) -> tuple[int, ...]:
    """Return a seeded random permutation of the sites, latents and attributes together.

    Source: Kuznetsov et al. 2019 (TRIP), section 3.1.

    >>> from tnprior_core import Gaussian
    >>> sorted(random_order([Gaussian("z0"), Gaussian("z1"), Categorical("hat")], seed=1))
    [0, 1, 2]
    """
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randperm(len(sites), generator=generator, device="cpu").tolist())


def information_order(
    sites: Sequence[Site],
    z: Float[Tensor, "n d"],
    codes: Int[Tensor, "n A"],
    observed: Bool[Tensor, "n A"],
    *,
    bins: int = 16,
) -> tuple[int, ...]:
    """Put every latent next to the attribute it knows most about, the best informed one nearest.

    Each latent joins the attribute with which its mutual information (nats, over quantile bins) is highest;
    within a group latents are placed to the right and left of the attribute in turn; groups are joined.

    sites
        in declared order; z (n, d) and codes, observed (n, A) are columns of their continuous and categorical ones.

    Raises ShapeError if the columns do not match or an observed code is no label.

    >>> from tnprior_core import Gaussian
    >>> z = torch.randn(500, 2)
    >>> sites = [Gaussian("z0"), Gaussian("z1"), Categorical("a"), Categorical("b")]
    >>> codes = (z > 0).long().flip(1)
    >>> information_order(sites, z, codes, torch.ones_like(codes, dtype=torch.bool))
    (2, 1, 3, 0)
    """
    latents = [index for index, site in enumerate(sites) if not isinstance(site, Categorical)]
    attributes = [index for index, site in enumerate(sites) if isinstance(site, Categorical)]
    check_latents(sites, z)
    check_attributes(sites, z, codes, observed)
    if not attributes:
        return tuple(latents)
    known = torch.stack(
        [
            mutual_information(z, codes[:, a], observed[:, a], sites[site].states, bins=bins)
            for a, site in enumerate(attributes)
        ]
    )  # (A, d)
    order: list[int] = []
    nearest = known.argmax(0)
    for a, attribute in enumerate(attributes):
        members = [k for k in known[a].argsort(descending=True, stable=True).tolist() if int(nearest[k]) == a]
        right, left = members[0::2], members[1::2]
        order += [latents[k] for k in reversed(left)] + [attribute] + [latents[k] for k in right]
    return tuple(order)


def mutual_information(
    z: Float[Tensor, "n d"],
    codes: Int[Tensor, " n"],
    observed: Bool[Tensor, " n"],
    states: int,
    *,
    bins: int = 16,
) -> Float[Tensor, " d"]:
    """Return the mutual information (d,), nats, of each binned column of z (n, d) with observed labels (n,).

    `I = sum p(b, y) log(p(b, y) / (p(b) p(y)))`, over `bins` quantile bins.

    >>> z = torch.linspace(-1, 1, 1000).unsqueeze(1)
    >>> nats = mutual_information(z, (z[:, 0] > 0).long(), torch.ones(1000, dtype=torch.bool), 2)
    >>> round(nats.exp().item(), 3)
    2.0
    """
    z, codes = z[observed].double(), codes[observed].long()
    if len(z) == 0:
        return z.new_zeros(z.shape[1]).float()
    edges = quantiles(z, torch.linspace(0, 1, bins + 1, dtype=z.dtype, device=z.device)[1:-1])
    cell = torch.searchsorted(edges.mT.contiguous(), z.mT.contiguous(), right=True)  # (d, n)
    flat = cell * states + codes
    joint = torch.zeros(z.shape[1], bins * states, dtype=z.dtype, device=z.device)
    joint = joint.scatter_add(1, flat, torch.ones_like(flat, dtype=z.dtype)).view(-1, bins, states) / len(z)
    apart = joint.sum(2, keepdim=True) * joint.sum(1, keepdim=True)
    return torch.where(joint > 0, joint * (joint / apart.clamp_min(1e-300)).log(), 0.0).sum((1, 2)).float()
