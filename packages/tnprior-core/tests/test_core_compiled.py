"""The loops that numba compiles draw what the operations on tensors draw, to the last bit."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tnprior_core import (
    Between,
    Categorical,
    Gaussian,
    GaussianMixturePrior,
    Legs,
    Noisy,
    OneOf,
    TensorRing,
    TensorRingPrior,
    TensorTrain,
    TensorTrainPrior,
    compiled,
    scratch,
)
from tnprior_core.contract import log_mass
from tnprior_core.noise import BLOCK, draw_noise

CPU = torch.device("cpu")
SITES = [
    *(Gaussian(f"z{k}", components=2 + k % 3) for k in range(6)),
    Categorical("hair", ("black", "blond", "brown")),
    *(Gaussian(f"z{k}", components=5) for k in range(6, 9)),
    Categorical("male"),
    Gaussian("last", components=2),
]
CONDITIONS = {
    "nothing": {},
    "labels": {"hair": OneOf("black", "brown"), "male": "1"},
    "latents": {"z1": Between(-0.5, 1.0), "z7": Noisy(0.3, sigma=0.4), "z2": 0.1},
}
PRIORS = {
    "train": lambda: TensorTrainPrior(SITES, rank=5, seed=1),
    "ring": lambda: TensorRingPrior(SITES, rank=4, seed=1),
    "train in another order": lambda: TensorTrainPrior(SITES, rank=3, order=[*range(1, 12), 0], seed=1),
    "mixture": lambda: GaussianMixturePrior(SITES, components=7, seed=1),
}


@pytest.fixture(scope="module", autouse=True)
def _numba():
    pytest.importorskip("numba")
    if torch.get_default_device() != CPU:
        pytest.skip("machine code is the CPU's")


def both(call):
    with compiled.machine_code(False):
        plain = call()
    with compiled.machine_code(True):
        return plain, call()


@pytest.mark.parametrize("known", CONDITIONS)
@pytest.mark.parametrize("name", PRIORS)
def test_samples_have_the_same_bits(name, known):
    for dtype in (torch.float32, torch.float64):
        prior = PRIORS[name]().to(dtype)

        def draw(prior=prior):
            p = prior().condition(CONDITIONS[known])
            # Few draws look up without tables, many with, and later calls may find those of the first.
            return [p.sample((n,), seed=3) for n in (1, 9, 2 * BLOCK + 7, 6000, 6000, 9)]

        for plain, fast in zip(*both(draw), strict=True):
            assert torch.equal(plain, fast)


@pytest.mark.parametrize(("first", "count"), [(0, 512), (3, 1000), (511, 2), (100, 100), (600, 1500), (7, 0)])
def test_noise_has_the_same_bits(first, count):
    for found, expected in zip(*both(lambda: draw_noise(7, 3, count, seed=5, first=first)), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("closed", [False, True])
def test_impossible_labels_are_never_drawn(closed):
    cores = torch.zeros(4, 6, 3, 3)
    cores[:, 1::2] = 1.0
    sites = [Categorical(f"a{k}", tuple("abcdef")) for k in range(4)]
    p = (TensorRing if closed else TensorTrain)(Legs.of(sites, {}), list(cores))
    plain, fast = both(lambda: p.sample((5000,), seed=0))
    assert torch.equal(plain, fast)
    assert fast.unique().tolist() == [1, 3, 5]


def test_loops_are_compiled_once_enough_was_drawn(monkeypatch):
    monkeypatch.setattr(compiled, "_WORTH_COMPILING", 3 * 12 * 1000)
    monkeypatch.setattr(compiled._Process, "drawn", 0)
    with compiled.machine_code(False):
        compiled._Process.decided = False
        p = PRIORS["ring"]()()
        found = []
        for _ in range(3):
            p.sample((1000,), seed=0)
            found.append(compiled.kernels(CPU) is not None)
    assert found == [False, False, True]


def test_without_numba_tensors_do_the_work(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "tnprior_core.kernels", raising=False)
    monkeypatch.setattr(compiled, "_WORTH_COMPILING", 1)
    with compiled.machine_code(False):
        compiled._Process.decided = False
        assert PRIORS["ring"]()().sample((3,), seed=0).shape == (3, 12)
        assert compiled.kernels(CPU) is None
    with pytest.raises(ImportError), compiled.machine_code(True):
        pass


@pytest.mark.parametrize(
    ("closed", "batch", "rank", "taken"),
    [
        (True, 64, 16, "Packed"),
        (True, 4, 16, "Folded"),
        (False, 512, 16, "Packed"),
        (False, 512, 52, "Folded"),
    ],
)
def test_large_densities_take_the_loops_whatever_was_done_before(closed, batch, rank, taken):
    rows = [torch.rand(batch, 4, requires_grad=True) for _ in range(30)]
    cores = [torch.rand(4, rank, rank) for _ in range(30)]
    for _ in range(2):
        assert taken in log_mass(rows, cores, closed=closed).grad_fn.name()
    halves = log_mass([row.half() for row in rows], [core.half() for core in cores], closed=closed)
    assert "Folded" in halves.grad_fn.name()


def test_large_densities_do_without_numba(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    for name in ("chain_loops", "machine"):
        monkeypatch.delitem(sys.modules, f"tnprior_core.{name}", raising=False)
    monkeypatch.setattr(compiled, "_chain_loops", compiled._chain_loops.__wrapped__)
    rows, cores = [torch.rand(64, 4, requires_grad=True)] * 30, [torch.rand(4, 16, 16)] * 30
    assert "Folded" in log_mass(rows, cores, closed=True).grad_fn.name()


@pytest.mark.parametrize("fast", [False, True])
def test_memory_that_is_lent_again_is_never_what_was_returned(fast):
    p = PRIORS["ring"]()()
    with compiled.machine_code(fast):
        first = [p.sample((700,), seed=seed) for seed in range(4)]
        copies = [values.clone() for values in first]
        with ThreadPoolExecutor(4) as pool:
            again = list(pool.map(lambda seed: p.sample((700,), seed=seed), range(4)))
    for kept, copy, found in zip(first, copies, again, strict=True):
        assert torch.equal(kept, copy)
        assert torch.equal(found, copy)


def test_memory_is_lent_to_one_thread_at_a_time_and_not_kept_beyond_measure(monkeypatch):
    with scratch.lent():
        mine = scratch.empty("states", (2, 3), torch.int32, CPU)
        assert scratch.empty("states", (3, 2), torch.int32, CPU).data_ptr() == mine.data_ptr()
        assert scratch.empty("states", (2, 3), torch.int64, CPU).data_ptr() != mine.data_ptr()
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(scratch.empty, "states", (2, 3), torch.int32, CPU).result()
        assert other.data_ptr() != mine.data_ptr()
        with scratch.lent():
            assert scratch.empty("states", (2, 3), torch.int32, CPU).data_ptr() != mine.data_ptr()
        assert scratch.empty("states", (2, 3), torch.int32, CPU).data_ptr() == mine.data_ptr()
    assert scratch.empty("states", (2, 3), torch.int32, CPU).data_ptr() != mine.data_ptr()
    monkeypatch.setattr(scratch, "_KEPT", 0)
    monkeypatch.setattr(scratch._Pool, "idle", [])
    with scratch.lent():
        scratch.empty("states", (2, 3), torch.int32, CPU)
    assert not scratch._Pool.idle
