"""Hiding labels completely at random, once per data set."""

import torch
from jaxtyping import Bool
from torch import Tensor

from .errors import DataError
from .streams import row_keys, uniform_rows
from .table import AttributeTable


def hide_cells(table: AttributeTable, fraction: float, *seeds: object) -> Bool[Tensor, "n A"]:
    """The mask of cells that stay visible when each is hidden independently with probability `fraction`.

    Whether a cell is hidden is a function of the seeds, the object's name and the attribute's name alone:
    selecting or reordering rows or attributes changes nothing, and the cells hidden at 0.3 are among those
    hidden at 0.7. Cells that were missing before stay missing.

    Raises:
        DataError: the fraction is not in [0, 1].
    """
    if not 0.0 <= fraction <= 1.0:
        raise DataError(f"the fraction of labels to hide must lie in [0, 1]; got {fraction}")
    visible = table.observed.clone()
    if fraction == 0.0 or not len(table):
        return visible
    keys = row_keys(table.names)
    for a, attribute in enumerate(table.schema):
        draws = uniform_rows(keys, "missing", *seeds, attribute.name)
        visible[:, a] &= torch.from_numpy(draws >= fraction)
    return visible
