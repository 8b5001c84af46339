"""Labels hidden completely at random."""

import math

import pytest
import torch

from tnprior_data import Attribute, AttributeTable, load
from tnprior_data.missing import hide_cells
from tnprior_data.streams import row_keys, uniform, uniform_rows

N, A, P = 20_000, 6, 0.3
SCHEMA = tuple(Attribute(f"a{k}", ("0", "1")) for k in range(A))


@pytest.fixture(scope="module")
def table() -> AttributeTable:
    codes = torch.randint(0, 2, (N, A), generator=torch.Generator().manual_seed(0))
    names = tuple(f"{i}.png" for i in range(N))
    return AttributeTable(names, SCHEMA, codes, torch.ones(N, A, dtype=torch.bool))


@pytest.fixture(scope="module")
def hidden(table: AttributeTable) -> torch.Tensor:
    return (~hide_cells(table, P, 0, "mine", "train")).double()


def within_five_sigma(count: float, n: int, p: float) -> bool:
    return abs(count - n * p) < 5 * math.sqrt(n * p * (1 - p))


def test_every_column_loses_its_share(hidden: torch.Tensor) -> None:
    assert all(within_five_sigma(column.sum().item(), N, P) for column in hidden.unbind(1))


def test_columns_are_hidden_independently(hidden: torch.Tensor) -> None:
    for a in range(A):
        for b in range(a):
            assert within_five_sigma((hidden[:, a] * hidden[:, b]).sum().item(), N, P * P)


def test_rows_are_hidden_independently(hidden: torch.Tensor) -> None:
    for lag in (1, 2, 16, 256):
        both = (hidden[lag:] * hidden[:-lag]).sum().item()
        assert within_five_sigma(both, (N - lag) * A, P * P)
    per_row = torch.bincount(hidden.sum(1).long(), minlength=A + 1)
    expected = [N * math.comb(A, k) * P**k * (1 - P) ** (A - k) for k in range(A + 1)]
    chi2 = sum((o - e) ** 2 / e for o, e in zip(per_row.tolist(), expected, strict=True))
    assert chi2 < A + 5 * math.sqrt(2 * A)


def test_hiding_knows_nothing_of_the_label(table: AttributeTable, hidden: torch.Tensor) -> None:
    for a in range(A):
        ones = table.codes[:, a].bool()
        assert within_five_sigma(hidden[ones, a].sum().item(), int(ones.sum()), P)


@pytest.mark.parametrize("seeds", [(1, "mine", "train"), (0, "yours", "train"), (0, "mine", "test")])
def test_other_seeds_hide_independently(
    table: AttributeTable, hidden: torch.Tensor, seeds: tuple[object, ...]
) -> None:
    other = (~hide_cells(table, P, *seeds)).double()
    assert within_five_sigma((hidden * other).sum().item(), N * A, P * P)


def test_reordered_rows_keep_their_gaps(table: AttributeTable, hidden: torch.Tensor) -> None:
    order = torch.randperm(N, generator=torch.Generator().manual_seed(1))[:5000]
    assert torch.equal((~hide_cells(table.subset(order), P, 0, "mine", "train")).double(), hidden[order])


def test_cells_that_were_empty_stay_empty(table: AttributeTable) -> None:
    gaps = torch.arange(N * A).reshape(N, A) % 3 > 0
    gappy = AttributeTable(table.names, SCHEMA, table.codes, gaps)
    visible = hide_cells(gappy, P, 0, "mine", "train")
    assert bool((gaps | ~visible).all())
    assert torch.equal(hide_cells(gappy, 0.0, 0, "mine", "train"), gaps)


def test_the_draws_never_change_between_versions() -> None:
    """Numbers written down once: a run of last year must hide the same cells today."""
    assert uniform(2, "a", 1).tolist() == pytest.approx(GOLDEN_STREAM, abs=1e-15)
    assert uniform_rows(row_keys(["x", "y"]), "a").tolist() == pytest.approx(GOLDEN_ROWS, abs=1e-15)
    assert torch.nonzero(~load("digits", missing=0.01).observed[:, 0]).flatten().tolist() == GOLDEN_HIDDEN


GOLDEN_STREAM = [0.1393492493738392, 0.5846980881998257]
GOLDEN_ROWS = [0.5757728862417413, 0.4484687632400898]
GOLDEN_HIDDEN = [63, 434, 723, 1111, 1213, 1254]
