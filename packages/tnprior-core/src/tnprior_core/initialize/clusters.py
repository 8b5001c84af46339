"""Initialisation from clusters: one bond index per cluster of the latent codes and attributes.

From noise in the cores the attributes are learned slowly or not at all, because every bond index starts with
the same opinion about every site. Starting as a mixture of m clusters whose bond index persists along the chain
with a small leak, the prior knows the attributes at once, and training bends the clusters into a network.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tnprior_core.initialize.columns import check_attributes, check_latents
from tnprior_core.initialize.mixtures import SIGMA_FLOOR, fit_mixtures
from tnprior_core.normal import log_normal
from tnprior_core.priors.components import ComponentsPrior
from tnprior_core.priors.network import NetworkPrior

__all__ = ["Clusters", "find_clusters", "initialize_from_clusters"]

_SMOOTHING = 0.5


class Clusters(NamedTuple):
    """Soft clusters: `share` (n, C) responsibilities, `weight` (C,), `labels` one (C, C_a) table per attribute."""

    share: Float[Tensor, "n C"]
    weight: Float[Tensor, " C"]
    labels: list[Float[Tensor, "C _"]]


@torch.no_grad()
def initialize_from_clusters(
    prior: NetworkPrior | ComponentsPrior,
    z: Float[Tensor, "n d"],
    codes: Int[Tensor, "n A"],
    observed: Bool[Tensor, "n A"],
    *,
    seed: int = 0,
    leak: float = 0.02,
    iterations: int = 15,
) -> None:
    """Overwrite a prior's components and cores with a mixture of clusters of `(z, observed attributes)`.

    With cluster weights pi_c, per-cluster component weights r_k(s | c) and label frequencies p(y_a | c), core k is
    `Q_k[s][c, c'] = ((1 - leak) 1[c = c'] + leak / m) r_k(s | c)`, the first one times pi_c. The clusters are
    fitted by expectation maximisation of a latent-class model that leaves missing attributes out; there are as many
    as the smallest bond has indices (the open ends of a train do not count).

    prior
        a train or ring prior, or a mixture or factor ring, which gets one component per cluster; continuous sites are
        the columns of `z`, categorical ones those of `codes`.
    z
        (n, d) latent codes, samples of q(z | x) rather than means.
    codes, observed
        (n, A) integer codes and boolean mask.
    leak
        probability per site of changing the cluster, spread evenly: gradients need a way out.
    iterations
        of each expectation maximisation.

    Raises ShapeError if columns do not match or a code is no label. Optimiser state is stale afterwards.

    >>> from tnprior_core import Categorical, Gaussian, TensorTrainPrior
    >>> prior = TensorTrainPrior([Gaussian("z0", 4), Categorical("sign")], rank=2)
    >>> z = torch.cat([torch.randn(200, 1) - 3, torch.randn(200, 1) + 3])
    >>> codes = (z > 0).long()
    >>> initialize_from_clusters(prior, z, codes, torch.ones_like(codes, dtype=torch.bool))
    >>> bool(prior().condition({"z0": 3.0}).marginal("sign").probs[1] > 0.9)
    True
    """
    check_latents(prior.sites, z)
    check_attributes(prior.sites, z, codes, observed)
    count = prior.components if isinstance(prior, ComponentsPrior) else _bond(prior)
    z, codes, observed = z.detach().double(), codes.detach().long(), observed.detach()
    counts = [prior.sites[site].states for site in prior.attributes]
    clusters = find_clusters(z, codes, observed, counts, count, seed=seed, iterations=iterations)
    if isinstance(prior, NetworkPrior):
        _assign_network(prior, z, clusters, leak, iterations)
    else:
        prior.assign_components(*_maximise(z, codes, observed, counts, clusters.share))


def _assign_network(prior: NetworkPrior, z: Tensor, clusters: Clusters, leak: float, iterations: int) -> None:
    cores = prior.cores()
    tables: dict[int, Tensor] = dict(zip(prior.attributes, clusters.labels, strict=True))
    tables |= _assign_latents(prior, z, clusters.share, iterations)
    starts = [clusters.weight, *[None] * (len(cores) - 1)]
    parts = zip(prior.order, cores, starts, strict=True)
    prior.assign_cores([persistent_core(tables[k], core, start, leak).to(core) for k, core, start in parts])


def _assign_latents(prior: NetworkPrior, z: Tensor, share: Tensor, iterations: int) -> dict[int, Tensor]:
    """Give the prior the components of every latent; return each cluster's weights of them, by site."""
    tables = {}
    for column, site in enumerate(prior.latents):
        table, mean, sigma = _tied_mixture(z[:, column], share, prior.sites[site].states, iterations)
        prior.assign_components(site, mean, sigma)
        tables[site] = table
    return tables


def find_clusters(
    z: Float[Tensor, "n d"],
    codes: Int[Tensor, "n A"],
    observed: Bool[Tensor, "n A"],
    counts: list[int],
    clusters: int,
    *,
    seed: int,
    iterations: int,
) -> Clusters:
    """Fit a latent-class model: `p(z, y) = sum_c pi_c N(z; mu_c, diag sigma_c^2) prod_observed p(y_a | c)`.

    Starts from k-means (scikit-learn) on standardised codes beside one-hot attributes, scaled so that codes and
    attributes have equal total variance; a missing attribute pulls nowhere.

    >>> z = torch.cat([torch.randn(50, 1) - 4, torch.randn(50, 1) + 4])
    >>> none = torch.zeros(100, 0, dtype=torch.long)
    >>> round(float(find_clusters(z, none, none.bool(), [], 2, seed=0, iterations=5).weight.sum()), 4)
    1.0
    """
    share = _hard_start(z, codes, observed, counts, clusters, seed)
    for _ in range(iterations):
        weight, mean, sigma, labels = _maximise(z, codes, observed, counts, share)
        logits = weight.log() + sum(
            log_normal(z[:, k : k + 1], mean[:, k], sigma[:, k].log()) for k in range(z.shape[1])
        )
        for a, table in enumerate(labels):
            said = table.log().mT[codes[:, a].clamp(0, counts[a] - 1)]
            logits = logits + torch.where(observed[:, a : a + 1], said, torch.zeros_like(said))
        share = logits.softmax(1)
    weight, _, _, labels = _maximise(z, codes, observed, counts, share)
    return Clusters(share, weight, labels)


def _hard_start(
    z: Tensor, codes: Tensor, observed: Tensor, counts: list[int], clusters: int, seed: int
) -> Tensor:
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    features = [(z - z.mean(0)) / _spread(z)]
    hot = []
    for a, states in enumerate(counts):
        one_hot = torch.nn.functional.one_hot(codes[:, a].clamp(0, states - 1), states).to(z)
        seen = observed[:, a : a + 1]
        frequency = (one_hot * seen).sum(0) / seen.sum().clamp_min(1)
        hot.append(torch.where(seen, one_hot - frequency, torch.zeros_like(one_hot)))
    if hot:
        table = torch.cat(hot, 1)
        total = table.var(0, correction=0).sum().clamp_min(1e-12)
        features.append(table * (max(1, z.shape[1]) / total).sqrt())
    points = torch.cat(features, 1).cpu().numpy()
    start = MiniBatchKMeans(min(clusters, len(points)), random_state=seed, n_init=3, batch_size=2048)
    with warnings.catch_warnings():
        # Fewer different points than clusters: the spare clusters start empty, which is what they should be.
        warnings.simplefilter("ignore", ConvergenceWarning)
        start.fit(points)
    share = torch.nn.functional.one_hot(torch.as_tensor(start.labels_).long(), clusters)
    return share.to(z)


def _spread(z: Tensor) -> Tensor:
    return z.std(0, correction=0).clamp_min(SIGMA_FLOOR) if z.shape[1] else z.new_ones(0)


def _maximise(
    z: Tensor, codes: Tensor, observed: Tensor, counts: list[int], share: Tensor
) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    mass = share.sum(0)
    weight = (mass + 1) / (mass + 1).sum()
    spread = _spread(z)
    # One pseudo-observation of the overall mean and spread keeps an empty cluster proper.
    mean = (share.mT @ z + z.mean(0)) / (mass + 1).unsqueeze(1)
    square = (share.mT @ z.square() + z.square().mean(0)) / (mass + 1).unsqueeze(1)
    sigma = (square - mean.square()).clamp_min(0).sqrt().maximum(1e-2 * spread)
    labels = []
    for a, states in enumerate(counts):
        seen = observed[:, a : a + 1].to(z)
        one_hot = torch.nn.functional.one_hot(codes[:, a].clamp(0, states - 1), states).to(z) * seen
        overall = (one_hot.sum(0) + 1) / (one_hot.sum(0) + 1).sum()
        table = share.mT @ one_hot + _SMOOTHING * overall
        labels.append(table / table.sum(1, keepdim=True))
    return weight, mean, sigma, labels


def _tied_mixture(z: Tensor, share: Tensor, states: int, iterations: int) -> tuple[Tensor, Tensor, Tensor]:
    """Components shared by all clusters of one latent, and each cluster's weights of them: (C, N), (N,), (N,)."""
    _, mean, sigma = (x[0] for x in fit_mixtures(z.unsqueeze(1), states, iterations=iterations))
    table = z.new_full((share.shape[1], states), 1 / states)
    mass = share.sum(0).unsqueeze(1)
    for _ in range(iterations):
        density = log_normal(z.unsqueeze(1), mean, sigma.log())
        density = (density - density.amax(1, keepdim=True)).exp()  # (n, N)
        ratio = share / (density @ table.mT).clamp_min(1e-30)  # (n, C)
        joint = table * (ratio.mT @ density)  # expected counts (C, N)
        moved = (ratio @ table) * density  # (n, N) responsibilities summed over clusters
        total = moved.sum(0).clamp_min(1e-10)
        mean = (moved * z.unsqueeze(1)).sum(0) / total
        sigma = ((moved * (z.unsqueeze(1) - mean).square()).sum(0) / total).sqrt().clamp_min(SIGMA_FLOOR)
        table = (joint + 1e-3 / states) / (mass + 1e-3)
        table = table / table.sum(1, keepdim=True)
    return table, mean, sigma


def _bond(prior: NetworkPrior) -> int:
    return smallest_bond(prior.cores(), closed=prior.closed)


def smallest_bond(cores: Sequence[Tensor], *, closed: bool) -> int:
    inner = [core.shape[1] for core in (cores if closed else cores[1:])]
    return min(inner, default=max(cores[0].shape[1:]))


def persistent_core(
    table: Tensor, core: Tensor, weight: Tensor | None, leak: float, moves: Tensor | None = None
) -> Tensor:
    """A core whose left bond index is the cluster; the right one where the chain opens with fewer indices.

    Clusters keep to themselves, or follow `moves` (C, C), rows of probabilities, but for the share that leaks.
    """
    clusters, states = table.shape
    rank, width = core.shape[1:]
    if weight is not None and rank < clusters:
        started = (table * weight.unsqueeze(1))[torch.arange(width, device=table.device) % clusters]
        return (started.mT.unsqueeze(1) / rank).expand(states, rank, width).contiguous()
    stay = torch.full((rank, width), leak / width, dtype=table.dtype, device=table.device)
    inside = torch.arange(clusters, device=table.device)
    moves = torch.eye(clusters, device=table.device) if moves is None else moves
    stay[:clusters].index_add_(1, inside % width, (1 - leak) * moves.to(stay))
    # Bond indices beyond the clusters start as faint copies of them.
    rows = table[torch.arange(rank, device=table.device) % clusters]
    if weight is not None:
        faint = torch.where(torch.arange(rank, device=table.device) < clusters, 1.0, leak).to(table)
        rows = rows * (weight[torch.arange(rank, device=table.device) % clusters] * faint).unsqueeze(1)
    return (rows.mT.unsqueeze(2) * stay).reshape(states, rank, width)
