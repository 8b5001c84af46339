"""The contraction against enumeration, published values, autograd of a naive scan, and the ends of the float range."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tnprior_core import compiled
from tnprior_core.contract import log_mass, transfer
from tnprior_core.scaled import rescale
from tnprior_core.scratch import Loan

# reference.md 1.8: K = 3, N = (3, 2, 4), m = (2, 3, 2), Q_k[s][i][j] = 1 + ((3k + 2s + i + 2j) mod 5).
GOLDEN_SHAPES = [(3, 2, 3), (2, 3, 2), (4, 2, 2)]


@pytest.fixture(autouse=True, params=["tensors", "machine code"])
def operations(request):
    """Which of the two implementations contracts: every test holds for both."""
    if request.param == "machine code":
        pytest.importorskip("numba")
        if torch.get_default_device() != torch.device("cpu"):
            pytest.skip("machine code is the CPU's")
    with compiled.machine_code(request.param == "machine code"):
        yield


def golden_cores() -> list[torch.Tensor]:
    cores = []
    for k, (n, a, b) in enumerate(GOLDEN_SHAPES):
        s, i, j = torch.meshgrid(torch.arange(n), torch.arange(a), torch.arange(b), indexing="ij")
        cores.append((1 + (3 * k + 2 * s + i + 2 * j) % 5).double())
    return cores


def naive(rows, cores, closed):
    """`log F` by plain products, without any scaling: for autograd to differentiate."""
    start = torch.eye(cores[0].shape[1], dtype=cores[0].dtype)
    product = start.unsqueeze(0)
    for row, core in zip(rows, cores, strict=True):
        product = product @ torch.einsum("bs,sij->bij", row, core)
    return (product.diagonal(dim1=1, dim2=2).sum(1) if closed else product.sum((1, 2))).log()


def random_network(closed, *, shared=(), sites=4, rank=3, seed=0, batch=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    ranks = [rank + k % 2 for k in range(sites)]
    ranks.append(ranks[0] if closed else rank)
    cores = [
        torch.rand(2 + k % 3, ranks[k], ranks[k + 1], generator=generator, dtype=dtype) for k in range(sites)
    ]
    rows = [
        torch.rand(1 if k in shared else batch, len(core), generator=generator, dtype=dtype)
        for k, core in enumerate(cores)
    ]
    return [x.requires_grad_() for x in rows], [x.requires_grad_() for x in cores]


@pytest.mark.parametrize(("closed", "total", "single"), [(True, 7593, 249), (False, 15210, 542)])
def test_golden_values(closed, total, single):
    cores = golden_cores()
    ones = [torch.ones(1, len(core), dtype=torch.float64) for core in cores]
    assert log_mass(ones, cores, closed=closed).exp().item() == pytest.approx(total, rel=1e-12)
    chosen = [
        torch.eye(len(core), dtype=torch.float64)[s : s + 1] for core, s in zip(cores, (0, 1, 2), strict=True)
    ]
    assert log_mass(chosen, cores, closed=closed).exp().item() == pytest.approx(single, rel=1e-12)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("shared", [(), (1,), (0, 2), (0, 1, 2, 3)])
def test_value_and_gradients_match_autograd_of_a_naive_scan(closed, shared):
    rows, cores = random_network(closed, shared=shared)
    found, expected = log_mass(rows, cores, closed=closed), naive(rows, cores, closed)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    weight = torch.linspace(-1, 2, len(found), dtype=torch.float64)
    inputs = [*rows, *cores]
    for ours, theirs in zip(
        torch.autograd.grad((found * weight).sum(), inputs),
        torch.autograd.grad((expected * weight).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("closed", [False, True])
def test_threads_add_up_to_the_same_bits_every_time(closed, threads):
    threads(2)
    rows, cores = random_network(closed, batch=90, rank=6, sites=9, dtype=torch.float32)
    found = [
        torch.autograd.grad(log_mass(rows, cores, closed=closed).sum(), [*rows, *cores]) for _ in range(3)
    ]
    assert all(
        torch.equal(one, other) for grads in found[1:] for one, other in zip(found[0], grads, strict=True)
    )


@given(
    closed=st.booleans(),
    batch=st.sampled_from([1, 3, 4, 7, 8, 9, 16, 17, 41, 90]),
    rank=st.integers(1, 9),
    sites=st.integers(1, 11),
    double=st.booleans(),
)
@settings(max_examples=40)
def test_batches_ranks_and_lengths_of_every_kind(closed, batch, rank, sites, double):
    """Examples go in vectors, in pairs of them and in pieces, and sites in segments; none of it shows."""
    rows, cores = random_network(closed, batch=batch, rank=rank, sites=sites, seed=batch * rank)
    expected, inputs = naive(rows, cores, closed), [*rows, *cores]
    weight = torch.linspace(-1, 2, batch, dtype=torch.float64)
    kind = torch.float64 if double else torch.float32
    found = log_mass([x.to(kind) for x in rows], [x.to(kind) for x in cores], closed=closed)
    near = {"rtol": 1e-10, "atol": 1e-12} if double else {"rtol": 2e-4, "atol": 2e-4}
    torch.testing.assert_close(found.double(), expected, **near)
    torch.testing.assert_close(
        torch.autograd.grad((found * weight.to(kind)).sum(), inputs),
        torch.autograd.grad((expected * weight).sum(), inputs),
        **near,
    )


@pytest.mark.parametrize("closed", [False, True])
def test_gradients_match_finite_differences(closed):
    rows, cores = random_network(closed, sites=3, rank=2, batch=2)
    count = len(rows)

    def call(*tensors):
        return log_mass(tensors[:count], tensors[count:], closed=closed)

    assert torch.autograd.gradcheck(call, (*rows, *cores))


@pytest.mark.parametrize("closed", [False, True])
def test_only_what_needs_a_gradient_gets_one(closed):
    rows, cores = random_network(closed)
    rows = [row.detach() for row in rows]
    log_mass(rows, cores, closed=closed).sum().backward()
    assert all(row.grad is None for row in rows)
    assert all(bool((core.grad > 0).any()) for core in cores)


@given(closed=st.booleans(), wants=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=7))
@settings(max_examples=60)
def test_gradients_of_some_are_what_they_are_among_all(closed, wants):
    """A message walks back no further than the last site of its half that wants one."""
    rows, cores = random_network(closed, sites=len(wants))
    for row, core, want in zip(rows, cores, wants, strict=True):
        row.requires_grad_(want[0])
        core.requires_grad_(want[1])
    chosen = [tensor for tensor in (*rows, *cores) if tensor.requires_grad]
    if chosen:
        found = torch.autograd.grad(log_mass(rows, cores, closed=closed).sum(), chosen)
        expected = torch.autograd.grad(naive(rows, cores, closed).sum(), chosen)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("closed", [False, True])
def test_graphs_that_live_at_once_keep_their_messages_apart(closed):
    """Their memory is lent again once a graph is gone, and not before."""
    networks = [random_network(closed, seed=seed) for seed in range(3)]
    for _ in range(2):
        masses = [log_mass(rows, cores, closed=closed).sum() for rows, cores in networks]
        for (rows, cores), mass in zip(networks, masses, strict=True):
            inputs = [*rows, *cores]
            expected = torch.autograd.grad(naive(rows, cores, closed).sum(), inputs)
            for _ in range(2):
                found = torch.autograd.grad(mass, inputs, retain_graph=True)
                torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_memory_is_lent_to_one_at_a_time_and_then_again():
    first, second = (Loan((3, 5), torch.zeros(1, device="cpu")) for _ in range(2))
    place = first.tensor.data_ptr()
    assert second.tensor.data_ptr() != place
    del first
    assert Loan((5, 3), torch.zeros(1, device="cpu")).tensor.data_ptr() == place


@pytest.mark.inference_mode
@pytest.mark.parametrize("closed", [False, True])
def test_inference_mode_leaves_nothing_that_a_gradient_could_meet(closed):
    rows, cores = random_network(closed)
    with torch.inference_mode():
        plain = log_mass(rows, cores, closed=closed)
    found = log_mass(rows, cores, closed=closed)
    torch.testing.assert_close(found, plain, rtol=0, atol=0)
    found.sum().backward()


@given(
    closed=st.booleans(),
    counts=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    rank=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
@settings(max_examples=30)
def test_sum_over_all_states(closed, counts, rank, seed):
    generator = torch.Generator().manual_seed(seed)
    cores = [torch.rand(n, rank, rank, generator=generator, dtype=torch.float64) for n in counts]
    rows = [torch.rand(1, n, generator=generator, dtype=torch.float64) for n in counts]
    total = 0.0
    for states in itertools.product(*map(range, counts)):
        product = torch.eye(rank, dtype=torch.float64)
        for row, core, s in zip(rows, cores, states, strict=True):
            product = product @ core[s] * row[0, s]
        total += float(product.trace() if closed else product.sum())
    assert log_mass(rows, cores, closed=closed).item() == pytest.approx(math.log(total), abs=1e-10)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_scaling_a_core_or_a_row_adds_its_logarithm(closed, factor):
    rows, cores = random_network(closed, dtype=torch.float32)
    before = log_mass(rows, cores, closed=closed)
    scaled = log_mass(rows, [cores[0] * factor, *cores[1:]], closed=closed)
    torch.testing.assert_close(scaled, before + math.log(factor), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("closed", [False, True])
def test_single_precision_at_128_sites_and_rank_40(closed):
    generator = torch.Generator().manual_seed(0)
    cores = [torch.rand(10, 40, 40, generator=generator) / 400 for _ in range(128)]
    rows = [(4 * torch.randn(3, 10, generator=generator)).exp() for _ in range(128)]
    single = log_mass(rows, cores, closed=closed)
    double = log_mass([r.double() for r in rows], [c.double() for c in cores], closed=closed)
    assert (single.double() - double).abs().max() < 1e-3


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_a_thousand_sites_stay_finite(closed, size):
    generator = torch.Generator().manual_seed(0)
    cores = [(torch.rand(3, 4, 4, generator=generator) * size).requires_grad_() for _ in range(1000)]
    rows = [torch.rand(2, 3, generator=generator).requires_grad_() for _ in range(1000)]
    result = log_mass(rows, cores, closed=closed)
    result.sum().backward()
    assert torch.isfinite(result).all()
    assert all(torch.isfinite(tensor.grad).all() for tensor in (*rows, *cores))


@pytest.mark.parametrize("closed", [False, True])
def test_rows_far_from_every_component(closed):
    """Fifty standard deviations away one component outweighs all others by more than a float can hold."""
    cores = [
        torch.rand(4, 3, 3, generator=torch.Generator().manual_seed(k)).requires_grad_() for k in range(50)
    ]
    distance = torch.tensor([[50.0, 51.0, 52.0, 60.0]])
    rows = [(-(distance**2) / 2 + 1250).exp().requires_grad_() for _ in range(50)]
    result = log_mass(rows, cores, closed=closed)
    result.sum().backward()
    expected = log_mass(
        [r.detach().double() for r in rows], [c.detach().double() for c in cores], closed=closed
    )
    torch.testing.assert_close(result.double(), expected, rtol=1e-5, atol=1e-4)
    assert all(torch.isfinite(tensor.grad).all() for tensor in cores)


@pytest.mark.parametrize("closed", [False, True])
def test_impossible_evidence_is_minus_infinity_with_zero_gradients(closed):
    rows, cores = random_network(closed)
    rows[1] = torch.cat([torch.zeros(1, rows[1].shape[1], dtype=torch.float64), rows[1].detach()[1:]])
    result = log_mass(rows, cores, closed=closed)
    assert result[0] == -torch.inf
    assert torch.isfinite(result[1:]).all()
    result[1:].sum().backward()
    assert all(torch.isfinite(core.grad).all() for core in cores)


@pytest.mark.parametrize("closed", [False, True])
def test_an_empty_batch(closed):
    rows, cores = random_network(closed, batch=0)
    found = log_mass(rows, cores, closed=closed)
    assert found.shape == (0,)
    found.sum().backward()
    assert all(row.grad.shape == row.shape for row in rows)
    assert not any(core.grad.any() for core in cores)


@given(st.lists(st.floats(0, 2.0**100, width=32), min_size=1, max_size=6))
def test_a_scaled_value_is_the_value(entries):
    value = torch.tensor([entries])
    scaled = rescale(value)
    torch.testing.assert_close(
        scaled.value * scaled.log_scale.exp(), value, rtol=1e-4, atol=1e-30 * max(entries)
    )
    assert scaled.value.max() <= 1


def test_a_transfer_is_the_weighted_sum_of_a_core():
    rows, cores = random_network(closed=False)
    torch.testing.assert_close(transfer(rows[0], cores[0]), torch.einsum("bs,sij->bij", rows[0], cores[0]))


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("sites", [1, 2, 3, 6, 7])
def test_chains_of_every_length_fold_in_the_middle(closed, sites):
    """Odd chains have a middle site that both messages meet; sites of one shape are stacked all at once."""
    generator = torch.Generator().manual_seed(sites)
    cores = [
        torch.rand(3, 2, 2, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(sites)
    ]
    rows = [torch.rand(4, 3, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(sites)]
    found, expected = log_mass(rows, cores, closed=closed), naive(rows, cores, closed)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(
        torch.autograd.grad(found.sum(), [*rows, *cores]),
        torch.autograd.grad(expected.sum(), [*rows, *cores]),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("closed", [False, True])
def test_a_backward_pass_within_autocast_keeps_its_precision(closed):
    rows, cores = random_network(closed, sites=40, dtype=torch.float32)
    grads = []
    for enabled in (False, True):
        result = log_mass(rows, cores, closed=closed).sum()
        with torch.autocast(torch.get_default_device().type, dtype=torch.bfloat16, enabled=enabled):
            grads.append(torch.autograd.grad(result, [*rows, *cores]))
    for plain, within in zip(*grads, strict=True):
        torch.testing.assert_close(within, plain, rtol=0, atol=0)
