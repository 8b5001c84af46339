"""The most probable completion against enumeration, its bound, and the short cuts that would be wrong."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tnprior_core import Categorical, Gaussian, GaussianMixturePrior, Legs, Not, TensorTrain


def best_of_all(oracle, rows, sites):
    joint = oracle.posterior(rows, *sites)
    codes = np.unravel_index(joint.argmax(), joint.shape)
    return np.log(joint.max()), tuple(int(code) for code in codes)


@settings(max_examples=25, derandomize=True)
@given(
    kinds=st.text("cd", min_size=2, max_size=5).filter(lambda kinds: "d" in kinds),
    ranks=st.lists(st.integers(1, 3), min_size=6, max_size=6),
    closed=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_enumeration(brute, network, kinds, ranks, closed, seed):
    counts = [2 + (seed + k) % 2 for k in range(len(kinds))]
    p = network(kinds, counts, ranks, closed=closed, seed=seed, order=range(len(kinds))[::-1])
    oracle, labels = brute(p), [k for k, kind in enumerate(kinds) if kind == "d"]
    values = torch.zeros(2, len(kinds), dtype=torch.float64)
    values[1] = 0.5
    known = torch.tensor([[kind == "c" for kind in kinds], [False] * len(kinds)])
    found = p.observe(values, known).complete()
    assert found.names == tuple(p.sites[k].name for k in labels)
    for row in range(2):
        rows = {k: oracle.exact(k, values[row, k].item()) for k in range(len(kinds)) if known[row, k]}
        expected, codes = best_of_all(oracle, rows, labels)
        assert abs(found.log_prob[row].item() - expected) < 1e-9
        assert found.log_prob[row] == found.bound[row]
        assert tuple(found.codes[row].tolist()) == codes


def pair(table):
    """Two labels with a given joint distribution: one bond index per value of the first."""
    table = torch.tensor(table, dtype=torch.float64)
    rows, columns = table.shape
    sites = [
        Categorical("a", tuple(map(str, range(rows)))),
        Categorical("b", tuple(map(str, range(columns)))),
    ]
    first = torch.eye(rows, dtype=torch.float64).unsqueeze(1)
    return TensorTrain(Legs.of(sites, {}), [first, table.mT.unsqueeze(2).contiguous()])


def test_one_site_after_the_other_is_not_the_best():
    p = pair([[0.21, 0.20, 0.19], [0.30, 0.05, 0.05]])
    greedy_a = int(p.marginal("a").probs.argmax())
    greedy_b = int(p.condition({"a": str(greedy_a)}).marginal("b").probs.argmax())
    found = p.complete()
    assert (greedy_a, greedy_b) == (0, 0)
    assert found.codes.tolist() == [1, 0]
    assert found.log_prob.exp().item() == pytest.approx(0.30)


def test_the_best_path_of_bonds_is_not_the_best_completion():
    """Label "1" is spread over two bond indices, each of them less likely than the only one of label "0"."""
    path = (
        torch.tensor([0.4, 0.0, 0.0], dtype=torch.float64),
        torch.tensor([0.0, 0.3, 0.3], dtype=torch.float64),
    )
    sites = [Categorical("a"), Categorical("b")]
    cores = [
        torch.stack(path).unsqueeze(1),
        torch.tensor([[0.5], [0.5], [0.5]], dtype=torch.float64).repeat(2, 1, 1),
    ]
    p = TensorTrain(Legs.of(sites, {}), cores)
    best_path = max(
        itertools.product(range(2), range(3), range(2)),
        key=lambda x: (cores[0][x[0], 0, x[1]] * cores[1][x[2], x[1], 0]).item(),
    )
    assert best_path[0] == 0
    assert p.complete().codes[0].item() == 1
    assert p.complete(["a"]).log_prob.exp().item() == pytest.approx(0.6)


def test_when_the_search_stops_early_the_bound_holds(network):
    kinds = "d" * 8
    p = network(kinds, [3] * 8, [3] * 9, closed=True, seed=11, zeros=0.5)
    exact = p.complete()
    assert exact.log_prob == exact.bound
    short = p.complete(limit=2)
    assert short.log_prob <= exact.log_prob <= short.bound
    assert short.bound > short.log_prob
    values = short.codes.double()
    torch.testing.assert_close(p.log_prob(values), short.log_prob, rtol=0, atol=1e-9)
    first = p.complete(limit=1)
    assert first.bound.item() == pytest.approx(0, abs=1e-12)


def test_what_is_known_stays(network):
    p = network("dcd", [3, 2, 3], [2, 3, 2, 2], closed=True, seed=2)
    q = p.condition({"v0": Not("a"), "v1": 0.3})
    assert q.complete().codes[0].item() != 0
    both = p.condition({"v0": ["b", None]}).complete()
    assert both.codes.shape == (2, 2)
    assert both.codes[0, 0].item() == 1
    assert both.codes[1].tolist() == p.complete().codes.tolist()
    assert q.complete(["v2"]).names == ("v2",)
    best = q.complete(["v2"])
    assert best.log_prob.exp().item() == pytest.approx(q.marginal("v2").probs.max().item())


def test_mixture():
    sites = [Gaussian("z"), Categorical("a", ("x", "y", "z")), Categorical("b")]
    prior = GaussianMixturePrior(sites, 3, seed=2).double()
    with torch.no_grad():
        for logits in prior.label_logits.values():
            logits.mul_(20)
        p = prior().condition({"z": 0.3})
    table = torch.cartesian_prod(torch.arange(3.0), torch.arange(2.0)).double()
    values = torch.cat([torch.zeros(6, 1).double(), table], 1)
    joint = p.log_prob(values, torch.tensor([False, True, True]))
    found = p.complete()
    assert found.log_prob.item() == pytest.approx(joint.max().item())
    assert found.codes.tolist() == table[joint.argmax()].tolist()
