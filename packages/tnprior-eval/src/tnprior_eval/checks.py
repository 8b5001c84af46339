"""Checks at the public edge: a wrong tensor is named, with what was expected and what came."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tnprior_eval.errors import ShapeError


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """The attribute names as a tuple; raises `ShapeError` when one occurs twice or there is none."""
    if not names or len(set(names)) != len(names):
        raise ShapeError(f"expected one or more different attribute names, received {list(names)}")
    return tuple(names)


def check_table(name: str, table: Tensor, columns: int) -> None:
    """Raises `ShapeError` unless `table` has shape (n, columns)."""
    if table.ndim != 2 or table.shape[1] != columns:
        raise ShapeError(f"expected {name} of shape (n, {columns}), received {tuple(table.shape)}")


def check_mask(name: str, mask: Tensor, columns: int) -> None:
    """Raises `ShapeError` unless `mask` is boolean of shape (n, columns)."""
    if mask.dtype != torch.bool:
        raise ShapeError(f"expected {name} to be boolean, received {mask.dtype}")
    check_table(name, mask, columns)


def check_codes(name: str, codes: Tensor, columns: int) -> None:
    """Raises `ShapeError` unless `codes` holds integers and has shape (n, columns)."""
    if codes.dtype.is_floating_point or codes.dtype == torch.bool:
        raise ShapeError(f"expected {name} to hold integer codes, received {codes.dtype}")
    check_table(name, codes, columns)


def check_code_range(name: str, codes: Tensor, used: Tensor, label_counts: Sequence[int]) -> None:
    """Raises `ShapeError` where a used code is not in 0..C-1 of its attribute."""
    limits = torch.tensor(list(label_counts), device=codes.device)
    wrong = ((codes < 0) | (codes >= limits)) & used
    if bool(wrong.any()):
        row, column = (int(index) for index in wrong.nonzero()[0])
        raise ShapeError(
            f"expected {name}[{row}, {column}] between 0 and {label_counts[column] - 1}, "
            f"received {int(codes[row, column])}"
        )


def check_same_length(**tensors: Tensor) -> int:
    """The common length of the tensors; raises `ShapeError` when they differ."""
    lengths = {name: len(tensor) for name, tensor in tensors.items()}
    if len(set(lengths.values())) > 1:
        raise ShapeError(f"expected tensors of one length, received {lengths}")
    return next(iter(lengths.values()))


def check_features(name: str, features: Tensor, dimension: int | None = None) -> None:
    """Raises `ShapeError` unless `features` is finite and floating, (n, d) or (n, `dimension`)."""
    wanted = "d" if dimension is None else str(dimension)
    if (
        features.ndim != 2
        or not features.dtype.is_floating_point
        or (dimension or features.shape[1]) != features.shape[1]
    ):
        raise ShapeError(
            f"expected {name} as floats of shape (n, {wanted}), "
            f"received {features.dtype} {tuple(features.shape)}"
        )
    if not bool(torch.isfinite(features).all()):
        raise ShapeError(f"expected finite {name}, received NaN or infinite entries")


def check_images(name: str, x: Tensor) -> None:
    """Raises `ShapeError` unless `x` is uint8 of shape (n, 1 or 3, H, W)."""
    if x.dtype != torch.uint8 or x.ndim != 4 or x.shape[1] not in (1, 3):
        raise ShapeError(
            f"expected {name} as uint8 of shape (n, 1 or 3, H, W), received {x.dtype} {tuple(x.shape)}; "
            "tnprior_eval.quantize turns values in [0, 1] into it"
        )
