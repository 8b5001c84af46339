"""Oracles of the core's tests: small networks drawn at random, and brute force over all their states."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from tnprior_core import (
    BlockRing,
    Categorical,
    Gaussian,
    GaussianLegs,
    Legs,
    Mixture,
    TensorRing,
    TensorTrain,
)


class Brute:
    """All weights of a small distribution as one array over the states of its sites, in declared order.

    Nothing here is shared with the library: products of matrices for every tuple of states, in numpy.
    """

    def __init__(self, p):
        self.p = p
        self.counts = [p.legs.where[k][0].states for k in range(len(p.legs.sites))]
        weights = {Mixture: self._mixture, BlockRing: self._blocks}
        self.weight = weights.get(type(p), self._network)()

    def _network(self):
        p, weight = self.p, np.zeros(self.counts)
        cores = [core.detach().cpu().numpy() for core in p.cores]
        for states in itertools.product(*map(range, self.counts)):
            product = np.eye(cores[0].shape[1])
            for core, site in zip(cores, p.order, strict=True):
                product = product @ core[states[site]]
            weight[states] = np.trace(product) if isinstance(p, TensorRing) else product.sum()
        return weight

    def _mixture(self):
        weight = np.zeros(self.counts)
        for c, log_weight in enumerate(self.p.log_weight.tolist()):
            weight[(c,) * weight.ndim] = math.exp(log_weight)
        return weight

    def _blocks(self):
        """A place all the way round, and a point of it at every site."""
        weight, moves = np.zeros(self.counts), self.p.transitions.detach().cpu().numpy()
        points, count = moves.shape[-1], len(self.p.order)
        for c, log_weight in enumerate(self.p.log_weight.tolist()):
            for path in itertools.product(range(points), repeat=count):
                states = [0] * count
                for u, site in zip(path, self.p.order, strict=True):
                    states[site] = c * points + u
                steps = [moves[k, c, path[k], path[k + 1]] for k in range(count - 1)]
                start = self.p.opening[c, path[0]].item()
                weight[tuple(states)] = math.exp(log_weight) * start * math.prod(steps)
        return weight

    def components(self, site):
        group, at = self.p.legs.where[site]
        assert isinstance(group, GaussianLegs)
        return group.mean[at].detach().cpu().numpy(), group.log_sigma[at].detach().exp().cpu().numpy()

    def row(self, site, likelihood):
        """p(evidence | s) for every state s, the evidence being a function of the value (a density if continuous)."""
        group, at = self.p.legs.where[site]
        if isinstance(group, GaussianLegs):
            return likelihood(*self.components(site))
        labels = np.array([likelihood(code) for code in range(group.labels)], dtype=float)
        if group.log_emission is None:
            return labels
        return group.log_emission[at].detach().exp().cpu().numpy() @ labels

    def exact(self, site, value):
        if isinstance(self.p.legs.sites[site], Gaussian):
            # Values may be forty standard deviations away, where a density in float64 is zero.
            return self.row(
                site, lambda mean, sigma: np.exp(norm.logpdf(value, mean, sigma).astype(np.longdouble))
            )
        return self.row(site, lambda code: float(code == value))

    def joint(self, rows):
        """Weight of every tuple of states, times the evidence rows {site: row}."""
        joint = self.weight.copy()
        for site, row in rows.items():
            joint = joint * np.expand_dims(row, [k for k in range(joint.ndim) if k != site])
        return joint

    def log_evidence(self, rows):
        with np.errstate(divide="ignore"):
            return float(np.log(self.joint(rows).sum() / self.weight.sum()))

    def posterior(self, rows, *sites):
        joint = self.joint(rows)
        others = tuple(k for k in range(joint.ndim) if k not in sites)
        return (joint.sum(axis=others) / joint.sum()).astype(float)


def random_sites(kinds, counts):
    return [
        Gaussian(f"v{k}", count) if kind == "c" else Categorical(f"v{k}", tuple("abcdef"[: max(2, count)]))
        for k, (kind, count) in enumerate(zip(kinds, counts, strict=True))
    ]


def random_network(kinds, counts, ranks, *, closed, order=None, seed=0, zeros=0.0):
    """A train or ring in float64; `zeros` is the share of entries of the cores that are exactly zero."""
    sites, generator = random_sites(kinds, counts), torch.Generator().manual_seed(seed)

    def noise(*shape):
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    components = {
        site.name: (4 * noise(site.states) - 2, noise(site.states) - 1)
        for site in sites
        if isinstance(site, Gaussian)
    }
    order = list(range(len(sites))) if order is None else list(order)
    bonds = [*ranks[: len(sites)], ranks[0] if closed else ranks[len(sites)]]
    cores = []
    for place, site in enumerate(order):
        shape = (sites[site].states, bonds[place], bonds[place + 1])
        core = noise(*shape) + 0.05
        cores.append(torch.where(noise(*shape) < zeros, torch.zeros_like(core), core))
    kind = TensorRing if closed else TensorTrain
    return kind(Legs.of(sites, components), cores, order=order)


@pytest.fixture(scope="session")
def brute():
    return Brute


@pytest.fixture(scope="session")
def network():
    return random_network


@pytest.fixture
def threads():
    """A function that sets the number of torch's threads until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
