"""A data set in memory: images as bytes, attribute codes, and a mask of what was observed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from .card import Card
from .errors import DataError, UnknownNameError, listed, unknown
from .missing import hide_cells
from .schema import Schema
from .table import AttributeTable


@dataclass(frozen=True, eq=False)
class Records:
    """What a loader reads: images (n, C, H, W) uint8 and the table of everything known about them."""

    x: UInt8[Tensor, "n C H W"]
    table: AttributeTable


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images, attribute codes and the mask of observed codes; see `load`.

    Args:
        card: what the data set is.
        split: which part of it.
        x: (n, C, H, W) uint8 images, 0..255.
        truth: everything known about them, before any label was hidden; for evaluation only.
        observed: (n, A) bool, the cells that training may see.
        missing: the fraction of labels that was hidden.
        seed: the seed they were hidden with.
    """

    card: Card
    split: str
    x: UInt8[Tensor, "n C H W"]
    truth: AttributeTable
    observed: Bool[Tensor, "n A"]
    missing: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.x) != len(self.truth) or self.observed.shape != self.truth.observed.shape:
            raise DataError(
                f"{len(self.truth)} rows of attributes need as many images and as large a mask; got "
                f"{len(self.x)} images and a mask of shape {tuple(self.observed.shape)}"
            )

    @property
    def name(self) -> str:
        """The data set's name."""
        return self.card.name

    @property
    def schema(self) -> Schema:
        """The attributes, in the order of the columns of `codes`."""
        return self.truth.schema

    @property
    def names(self) -> tuple[str, ...]:
        """File names, or indices where there are no files."""
        return self.truth.names

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks for the user, such as columns that were left out and why."""
        return self.truth.notes

    @cached_property
    def codes(self) -> Int64[Tensor, "n A"]:
        """(n, A) int64 codes, 0 where not observed."""
        return torch.where(self.observed, self.truth.codes, 0)

    @cached_property
    def table(self) -> AttributeTable:
        """What training may see, as a table."""
        return AttributeTable(self.names, self.schema, self.codes, self.observed, self.notes)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        channels, height, width = self.x.shape[1:]
        return channels, height, width

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.shape))
        names = listed(a.name for a in self.schema) or "none"
        return f"Dataset({self.name!r}, {self.split!r}: {len(self)} images {shape}; attributes: {names})"

    def subset(self, rows: Sequence[int] | Int64[Tensor, " m"]) -> "Dataset":
        """The given rows, in the given order; what is hidden stays hidden.

        >>> import tnprior_data
        >>> tnprior_data.load("digits").subset(range(10)).x.shape
        torch.Size([10, 1, 8, 8])
        """
        index = torch.as_tensor(list(rows), dtype=torch.int64, device="cpu")
        if len(index) and not -len(self) <= int(index.min()) <= int(index.max()) < len(self):
            raise DataError(
                f"rows must lie in 0..{len(self) - 1}; got {int(index.min())}..{int(index.max())}"
            )
        return replace(self, x=self.x[index], truth=self.truth.subset(index), observed=self.observed[index])


def assemble(
    records: Records, card: Card, split: str, attributes: Iterable[str] | None, missing: float, seed: int
) -> Dataset:
    """Select attributes and hide labels: the last step of every loader."""
    table = records.table if attributes is None else records.table.select(attributes)
    observed = hide_cells(table, missing, seed, card.name, split)
    return Dataset(card, split, records.x, table, observed, missing, seed)


def check_split(split: str, splits: Sequence[str], name: str) -> None:
    """Raise an UnknownNameError for a split that the data set does not have."""
    if split not in splits:
        raise UnknownNameError(unknown(f"split of {name!r}", split, splits))
