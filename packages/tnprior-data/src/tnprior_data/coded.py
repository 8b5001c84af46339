"""Records of data sets that come as arrays: every label is known and rows have numbers for names."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch

from .dataset import Records
from .errors import DamagedFileError
from .images import Bytes
from .schema import Attribute, Schema
from .table import AttributeTable


def coded_records(
    images: Bytes, codes: npt.NDArray[np.integer], schema: Schema, source: str, notes: tuple[str, ...] = ()
) -> Records:
    """Images (n, C, H, W) and codes (n, A), all observed.

    Raises:
        DamagedFileError: another number of labels than of images, or a label that does not exist.
    """
    if len(images) != len(codes):
        raise DamagedFileError(f"{source}: {len(images)} images but {len(codes)} labels")
    for attribute, column in zip(schema, codes.T, strict=True):
        if column.size and not 0 <= column.min() <= column.max() < len(attribute.labels):
            raise DamagedFileError(
                f"{source}: labels of {attribute.name!r} must lie in 0..{len(attribute.labels) - 1}; got "
                f"{column.min()}..{column.max()}"
            )
    names = tuple(map(str, range(len(images))))
    known = torch.ones(codes.shape, dtype=torch.bool)
    table = AttributeTable(names, schema, torch.from_numpy(codes.astype(np.int64)), known, notes)
    return Records(torch.from_numpy(np.array(images, dtype=np.uint8)), table)


def categorical(name: str, labels: Iterable[str], *aliases: str) -> Schema:
    """A schema of one attribute."""
    return (Attribute(name, tuple(labels), aliases),)
