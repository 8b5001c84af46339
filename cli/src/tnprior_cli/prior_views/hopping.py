"""Mode hopping: a few latents at a time, drawn anew given all others."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tnprior_core import Flow, Gaussian, SiteDistribution


class Hops(NamedTuple):
    """Trajectories: site values (n, hops + 1, K), and which latents each hop drew anew, (n, hops, change)."""

    values: Tensor
    changed: Tensor


@torch.no_grad()
def hop(
    distribution: SiteDistribution, count: int, *, hops: int, change: int, seed: int, first: int = 0
) -> Hops:
    """Trajectories `first` to `first + count - 1` of a Markov chain that leaves the distribution as it is.

    It starts from a sample. A hop picks `change` latents J at random and draws z_J, and with it the attributes that
    are free, from p(z_J, y | z_-J, what is known): Gibbs sampling in random blocks, so every step of a trajectory
    is a sample of the distribution, and the steps tell how its modes hang together.

    Behind a flow the chain runs over the latents of the base, whose conditionals are exact, and every step goes through
    the flow: again a chain that leaves the distribution as it is.

    Trajectory i depends on (seed, i) alone, and its first steps do not depend on how many follow.

    Source: TRIP (Kuznetsov et al. 2019), the experiment on mode hopping.
    """
    if isinstance(distribution, Flow):
        found = hop(distribution.base, count, hops=hops, change=change, seed=seed, first=first)
        return Hops(distribution.pushed(found.values), found.changed)
    latents = [at for at, site in enumerate(distribution.sites) if isinstance(site, Gaussian)]
    changed = torch.from_numpy(
        _choices(len(latents), count, hops=hops, change=change, seed=seed, first=first)
    )
    values = distribution.sample((count,), seed=seed, first=first)
    steps, columns = [values], torch.tensor(latents)
    for step in range(hops):
        kept = torch.zeros(values.shape, dtype=torch.bool)
        kept[:, columns] = True
        kept.scatter_(1, columns[changed[:, step]], value=False)
        others = distribution.observe(values, kept.to(values.device))
        values = others.sample((1,), seed=seed, first=step, first_row=first)[0]
        steps.append(values)
    return Hops(torch.stack(steps, 1), changed)


def _choices(
    latents: int, count: int, *, hops: int, change: int, seed: int, first: int
) -> "np.ndarray[tuple[int, int, int], np.dtype[np.int64]]":
    """For each trajectory and hop, `change` different numbers below `latents`, in order."""
    chosen = np.empty((count, hops, change), dtype=np.int64)
    for i in range(count):
        for step in range(hops):
            generator = np.random.default_rng((seed, first + i, step))
            chosen[i, step] = np.sort(generator.permutation(latents)[:change])
    return chosen
