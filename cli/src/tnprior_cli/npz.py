"""One .npz written row by row: memory stays bounded however many rows there are.

Arrays go to plain files as they come (never through a memory map, where a full disk kills the process) and
are joined at the end into the archive that `numpy.load` reads.
"""

import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

Column = tuple[Any, tuple[int, ...]]  # dtype and shape of a row


class NpzWriter:
    """Writes arrays of `rows` rows each to an .npz; every `append` adds the same rows to all of them.

    Args:
        path: the .npz to write; the parts lie beside it until the end.
        rows: how many rows there will be.
        columns: name -> (dtype, shape of one row).
    """

    def __init__(self, path: Path, rows: int, columns: Mapping[str, Column]) -> None:
        self._path, self._columns = path, columns
        self._parts = {name: path.with_name(f"{path.stem}.{name}.npy") for name in columns}
        self._open = ExitStack()
        self._files = {name: self._open.enter_context(part.open("wb")) for name, part in self._parts.items()}
        for name, (kind, shape) in columns.items():
            header = {"descr": np.lib.format.dtype_to_descr(np.dtype(kind)), "fortran_order": False}
            np.lib.format.write_array_header_1_0(self._files[name], {**header, "shape": (rows, *shape)})

    def append(self, **values: Any) -> None:
        """Adds rows: for every column an array (n, *shape of a row)."""
        for name, (kind, _) in self._columns.items():
            self._files[name].write(np.ascontiguousarray(values[name], dtype=kind).tobytes())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._open.close()
            if kind is None:
                with zipfile.ZipFile(self._path, "w", zipfile.ZIP_STORED) as archive:
                    for name, part in self._parts.items():
                        archive.write(part, f"{name}.npy")
        finally:
            for part in self._parts.values():
                part.unlink(missing_ok=True)
