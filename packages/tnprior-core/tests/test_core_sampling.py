"""The samplers against enumeration, against themselves in batches, and where floats run out."""

import copy
import itertools
import math

import pytest
import torch

from tnprior_core import (
    Between,
    Categorical,
    FactorRingPrior,
    FlowPrior,
    Gaussian,
    GaussianMixturePrior,
    OneOf,
    TensorRingPrior,
    TensorTrainPrior,
    tree,
)
from tnprior_core.neighbours import rows_of, write_rows
from tnprior_core.noise import draw_noise
from tnprior_core.parts import parts_for
from tnprior_core.sampling import SharedSampler, draw_states, pick
from tnprior_core.tables import cumulate, look_up

SHAPES = {
    "train": (False, [(3, 2, 3), (2, 3, 2), (4, 2, 4)]),
    "train of open ends": (False, [(3, 1, 3), (2, 3, 3), (2, 3, 1)]),
    "ring": (True, [(3, 2, 3), (2, 3, 2), (4, 2, 2)]),
    "longer ring": (True, [(2, 3, 3)] * 5),
    "one site": (False, [(5, 2, 2)]),
    "ring of one site": (True, [(5, 3, 3)]),
}


def make(name: str, seed: int = 0) -> tuple[bool, list[torch.Tensor]]:
    closed, shapes = SHAPES[name]
    generator = torch.Generator().manual_seed(seed)
    cores = [torch.rand(shape, generator=generator) ** 3 for shape in shapes]
    return closed, [torch.where(core < 0.02, 0.0, core) for core in cores]


def enumerate_states(rows: list[torch.Tensor], cores: list[torch.Tensor], closed: bool) -> torch.Tensor:
    masses = torch.zeros([len(core) for core in cores], dtype=torch.float64)
    for states in itertools.product(*(range(len(core)) for core in cores)):
        product = torch.eye(cores[0].shape[1], dtype=torch.float64)
        for row, core, state in zip(rows, cores, states, strict=True):
            product = product @ (row[state].double() * core[state].double())
        masses[states] = product.trace() if closed else product.sum()
    return masses / masses.sum()


def uniforms(*sizes: int, seed: int) -> torch.Tensor:
    """Uniform noise where the tables are."""
    return draw_noise(*sizes, seed=seed).uniform.to(torch.get_default_device())


def chi_square(states: torch.Tensor, exact: torch.Tensor) -> tuple[float, float]:
    """Statistic and its bound at about five standard deviations; impossible states must not occur."""
    index = torch.zeros(states.shape[1], dtype=torch.long)
    for row, size in zip(states.long(), exact.shape, strict=True):
        index = index * size + row
    expected = exact.flatten() * states.shape[1]
    found = torch.bincount(index, minlength=len(expected)).double()
    assert found[expected == 0].sum() == 0
    possible = expected > 0
    statistic = ((found - expected)[possible].square() / expected[possible]).sum()
    freedom = int(possible.sum()) - 1
    return float(statistic), freedom + 5 * math.sqrt(2 * freedom) + 5


@pytest.mark.parametrize("name", SHAPES)
def test_frequencies_match_enumeration(name):
    closed, cores = make(name)
    rows = [
        torch.rand(1, len(core), generator=torch.Generator().manual_seed(k)) for k, core in enumerate(cores)
    ]
    uniform = uniforms(2 * len(cores) + 1, 0, 60_000, seed=3)
    states = draw_states(rows, cores, uniform, None, closed=closed)
    statistic, bound = chi_square(states, enumerate_states([row[0] for row in rows], cores, closed))
    assert statistic < bound


@pytest.mark.parametrize("name", SHAPES)
def test_every_draw_obeys_the_evidence_of_its_own_row(name):
    closed, cores = make(name, seed=1)
    generator = torch.Generator().manual_seed(5)
    rows = [torch.rand(2, len(core), generator=generator) ** 2 for core in cores]
    rows[0][1] = torch.eye(len(cores[0]))[1]
    which = torch.arange(60_000) % 2
    uniform = uniforms(2 * len(cores) + 1, 0, 60_000, seed=4)
    states = draw_states(rows, cores, uniform, which, closed=closed)
    for example in (0, 1):
        exact = enumerate_states([row[example] for row in rows], cores, closed)
        statistic, bound = chi_square(states[:, which == example], exact)
        assert statistic < bound


def test_evidence_of_some_sites_may_be_shared():
    closed, cores = make("longer ring")
    rows = [torch.ones(1, 2)] * 4 + [torch.eye(2)]
    uniform = uniforms(11, 0, 1000, seed=4)
    which = torch.arange(1000) % 2
    states = draw_states(rows, cores, uniform, which, closed=closed)
    torch.testing.assert_close(states[-1].long(), which)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rank", [2, 9])
def test_a_draw_has_the_same_bits_in_any_batch(closed, dtype, rank):
    """Few draws gather weights, many share tables: all must agree."""
    generator = torch.Generator().manual_seed(2)
    cores = [torch.rand(3 + k % 2, rank, rank, generator=generator, dtype=dtype) for k in range(13)]
    rows = [torch.rand(1, len(core), generator=generator, dtype=dtype) for core in cores]
    uniform = uniforms(27, 0, 20_000, seed=1).to(dtype)
    whole = draw_states(rows, cores, uniform, None, closed=closed)
    for start, stop in [(0, 1), (5, 6), (7, 27), (100, 1100), (16_000, 20_000)]:
        part = draw_states(rows, cores, uniform[:, start:stop], None, closed=closed)
        assert torch.equal(part, whole[:, start:stop])


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("kept", [0, 1 << 25])
def test_a_sampler_that_is_asked_again_draws_the_same(closed, kept, monkeypatch):
    """Tables are kept once enough was drawn, unless they are too large: neither is seen in the draws."""
    monkeypatch.setattr(tree, "_KEPT", kept)
    generator = torch.Generator().manual_seed(2)
    cores = [torch.rand(3, 6, 6, generator=generator) for _ in range(9)]
    rows, uniform = [torch.ones(1, 3)] * 9, uniforms(19, 0, 100, seed=1)
    expected = draw_states(rows, cores, uniform, None, closed=closed)
    sampler = SharedSampler(rows, cores, closed=closed)
    for _ in range(3):
        for start in range(0, 100, 10):
            part = slice(start, start + 10)
            sampler.prepare(10)
            assert torch.equal(sampler.draw(uniform[:, part]), expected[:, part])


def test_what_is_known_has_its_own_tables():
    with torch.no_grad():
        p = TensorTrainPrior([Categorical("a"), Categorical("b")], rank=3)()
    before = p.sample((50,), seed=1)
    q = p.condition({"a": "1"})
    assert bool((q.sample((50,), seed=1)[:, 0] == 1).all())
    assert torch.equal(p.sample((50,), seed=1), before)
    assert torch.equal(copy.deepcopy(q).sample((9,), seed=2), q.sample((9,), seed=2))


MANY = 20_000
"""More than are drawn at once, and enough of eight sites for a thread each."""


def mixed(kind, rank=3, **options):
    """Sites of three kinds, of which none has only neighbours of its own."""
    sites = [Gaussian("z0", 3), Categorical("a", ("0", "1", "2")), Gaussian("z1", 3), Categorical("b")]
    sites += [Gaussian("z2", 2), Gaussian("z3", 3), Categorical("c"), Gaussian("z4", 3)]
    return kind(sites, rank=rank, seed=4, **options) if rank else kind(sites, components=5, seed=4, **options)


PRIORS = {
    "train": lambda: mixed(TensorTrainPrior),
    "ring in an order of its own": lambda: mixed(TensorRingPrior, order=[3, 1, 7, 0, 2, 6, 5, 4]),
    "mixture": lambda: mixed(GaussianMixturePrior, rank=None),
    "factor ring": lambda: mixed(FactorRingPrior, rank=None),
    "flow": lambda: FlowPrior(mixed(TensorTrainPrior), seed=2),
}


@pytest.mark.parametrize("name", PRIORS)
def test_a_sample_does_not_depend_on_how_many_are_drawn_or_by_how_many_threads(name, threads):
    with torch.no_grad():
        latents = {} if name == "flow" else {"z1": 0.3, "z3": Between(-1.0, 1.0)}
        p = PRIORS[name]()().condition({"a": OneOf("0", "2")} | latents)
        threads(1)
        expected = p.sample((MANY,), seed=5)
        assert torch.equal(p.sample((MANY,), seed=5), expected)
        threads(2)
        assert torch.equal(p.sample((MANY,), seed=5), expected)
        for first, count in [(0, 1), (511, 2), (700, 9000), (8191, 3)]:
            part = p.sample((count,), seed=5, first=first)
            exact = 1e-5 if name == "flow" else 0  # its networks multiply batches, whose last bits differ
            torch.testing.assert_close(part, expected[first : first + count], rtol=exact, atol=exact)


@pytest.mark.inference_mode
@pytest.mark.parametrize("count", [1, 2])
def test_samples_of_inference_mode_leave_nothing_that_others_stumble_over(count, threads):
    threads(count)
    p = mixed(TensorRingPrior)()
    with torch.inference_mode():
        expected = p.sample((MANY,), seed=1)
    for again in (p, mixed(TensorRingPrior)()):
        torch.testing.assert_close(again.sample((MANY,), seed=1), expected, rtol=0, atol=0)
    p.log_prob(expected[:10].clone()).sum().backward()


def test_threads_record_no_gradient(threads):
    threads(2)
    assert not mixed(TensorRingPrior)().sample((MANY,), seed=1).requires_grad


@pytest.mark.parametrize("components", [2, 200])
def test_tables_made_beside_the_noise_or_before_it_give_the_samples_of_one_thread(components, threads):
    prior = TensorRingPrior([Gaussian(f"z{k}", components) for k in range(40)], rank=10)
    threads(1)
    expected = prior().sample((8000,), seed=1)
    threads(2)
    assert torch.equal(prior().sample((8000,), seed=1), expected)


@pytest.mark.parametrize("numbers", [[0], [1, 2, 3], [0, 2, 3], [1, 3, 2, 4], [2, 1]])
def test_rows_by_their_numbers(numbers):
    table = torch.arange(10.0).view(5, 2)
    assert torch.equal(rows_of(table, numbers), table[numbers])
    expected, fresh = table.clone(), -torch.ones(len(numbers), 2)
    expected[numbers] = fresh
    write_rows(table, numbers, fresh)
    assert torch.equal(table, expected)


def test_impossible_states_are_never_drawn_even_at_the_ends_of_the_unit_interval():
    table = torch.tensor([0.0, 1.0, 0.0, 1.0 / 3, 0.0]).repeat(2, 1)
    cumulate(table)
    level = torch.tensor([0.0, 1 - 2.0**-24, 0.75, 0.74])
    row = torch.tensor([0, 1, 0, 1], dtype=torch.int32)
    assert look_up(table, row, level).tolist() == [1, 3, 3, 1]
    ends = table.new_tensor([[0.0, 1.0, 0.0], [0.0, 1 + 2.0**-22, 0.0]])
    assert pick(ends, torch.tensor([0.0, 0.0])).tolist() == [1, 1]
    assert pick(ends, torch.tensor([1 - 2.0**-24, 1 - 2.0**-24])).tolist() == [1, 1]


@pytest.mark.gpu
def test_impossible_states_are_not_drawn_where_sums_are_added_in_another_order():
    """Levels next to the ends of the intervals, where one more weight of zero may change the last bit of a sum."""
    weights = torch.rand(20_000, 9, generator=torch.Generator().manual_seed(0))
    weights[:, [2, 6, 7]] = 0
    cumulative = weights.cumsum(1)
    for end in (1, 5):
        level = cumulative[:, end] / cumulative[:, -1]
        for near in (level, level.nextafter(torch.tensor(0.0)), level.nextafter(torch.tensor(1.0))):
            drawn = pick(weights.cuda(), near.cuda()).cpu()
            assert (weights.gather(1, drawn[:, None]) > 0).all()


@pytest.mark.parametrize("outcomes", [1, 2, 3, 9, 11, 20, 33])
def test_tables_sum_in_one_way_whatever_stands_beside(outcomes):
    weights = torch.rand(50, outcomes, generator=torch.Generator().manual_seed(outcomes))
    weights[::3, outcomes // 2] = 0
    table = weights.clone()
    total = cumulate(table)
    torch.testing.assert_close(total, weights.sum(1))
    expected = weights.cumsum(1) / weights.sum(1, keepdim=True).clamp_min(1e-30)
    torch.testing.assert_close(table, expected)
    assert bool((table.diff(dim=1) >= 0).all())
    assert torch.equal(table[:, -1] > 0, total > 0)
    single = weights[7:8].clone()
    cumulate(single)
    assert torch.equal(single, table[7:8])
    if outcomes > 2:
        zero = outcomes // 2
        assert torch.equal(table[::3, zero], table[::3, zero - 1])


@pytest.mark.parametrize("batched", [False, True])
def test_blocks_of_a_ring_that_differ_by_more_than_a_float_can_hold(batched):
    """Two closings, of 10^-60 and 1 in the left half and the reverse in the right half: both are equally likely."""
    sites = 40
    factor = 1e-3
    left, right = torch.diag(torch.tensor([factor, 1.0])), torch.diag(torch.tensor([1.0, factor]))
    cores = [(left if k < sites // 2 else right).expand(2, 2, 2) for k in range(sites)]
    copies = 2 if batched else 1
    rows = [torch.ones(copies, 2)] * sites
    uniform = uniforms(2 * sites + 1, 0, 4000, seed=8)
    which = torch.arange(4000) % 2 if batched else None
    # The component of a site does not tell its bond, so give every bond a component of its own.
    marked = torch.eye(2).view(2, 2, 1) * torch.eye(2).view(2, 1, 2)
    cores[0], cores[-1] = marked * factor, marked * factor
    cores[0][1] /= factor
    cores[-1][0] /= factor
    states = draw_states(rows, cores, uniform, which, closed=True)
    assert torch.equal(states[0], states[-1])
    assert abs(states[0].float().mean() - 0.5) < 0.05


@pytest.mark.parametrize("closed", [False, True])
def test_a_thousand_sites(closed):
    generator = torch.Generator().manual_seed(0)
    cores = [torch.rand(4, 3, 3, generator=generator) * 1e-3 for _ in range(1000)]
    uniform = uniforms(2001, 0, 50, seed=0)
    states = draw_states([torch.ones(1, 4)] * 1000, cores, uniform, None, closed=closed)
    assert states.shape == (1000, 50)
    assert 1.3 < states.float().mean() < 1.7


def test_sampling_records_no_gradient_and_changes_no_input():
    cores = [torch.rand(2, 2, 2, requires_grad=True) for _ in range(4)]
    rows, uniform = [torch.ones(1, 2)] * 4, torch.rand(9, 30)
    kept = [core.detach().clone() for core in cores]
    states = draw_states(rows, cores, uniform, None, closed=True)
    assert not states.requires_grad
    assert all(torch.equal(core, copy) for core, copy in zip(cores, kept, strict=True))


@pytest.mark.parametrize(("count", "cost"), [(0, 1), (1, 10**9), (7, 70_000), (300_000, 1)])
def test_parts_cover_a_range_in_order(count, cost):
    found = []
    parts_for(torch.device("cpu"))(lambda part: found.extend(range(count)[part]), count, cost)
    assert found == list(range(count))
