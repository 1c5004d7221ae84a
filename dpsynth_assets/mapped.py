"""Rows of numbers of one width that are more than memory holds: on disk, in a file without a name, and mapped.

Knows numbers and where a file may lie; not what the numbers say.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)


def mapped(parts: Iterable[NDArray[T]], none: NDArray[T], folder: Path | None) -> NDArray[T]:
    """All rows of the parts, shape (rows, width).

    The file has no name, and its room is free once the array is gone, however the process ends.

    Args:
        parts: of shape (some rows, width).
        none: no rows, shape (0, width): their width and kind.
        folder: where the file is, made if need be: the sensitive zone where the rows are sensitive. None: where this
            system keeps what is temporary.

    Raises:
        ValueError: a part is of another width.
        OSError: the disk has no room.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=folder) as file:
        rows = 0
        for part in parts:
            if part.shape[1:] != none.shape[1:]:
                raise ValueError(f"rows of another width: {part.shape[1:]} where {none.shape[1:]} are mapped")
            file.write(np.ascontiguousarray(part, dtype=none.dtype).tobytes())
            rows += len(part)
        file.flush()
        return np.memmap(file, none.dtype, "r+", shape=(rows, none.shape[1])) if rows else none
