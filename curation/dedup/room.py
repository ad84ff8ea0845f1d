"""Where many vectors lie: in memory, or in a file where they would fill it."""

from __future__ import annotations

import os
import tempfile

import numpy as np

from curation.dedup.pairs import Rows, Vectors

_SHARE = 0.5
"""Of the machine's memory that one array of vectors may take."""


def room(count: int, dim: int) -> Vectors:
    """An array for vectors, float32 [count, dim].

    If it would take more than half of the memory it lies in a file without a name in the temporary
    folder, mapped, so that the system holds of it what there is room for.
    """
    if 4 * count * dim <= _SHARE * _memory():
        return np.empty((count, dim), np.float32)
    with tempfile.TemporaryFile(prefix="reelmill-") as file:
        return np.memmap(file, np.float32, "w+", shape=(count, dim))


def taken(vectors: Vectors, rows: Rows) -> Vectors:
    """Some rows of vectors, in an array with room of its own; all of them as they are."""
    if len(rows) == len(vectors):
        return vectors
    made = room(len(rows), vectors.shape[1])
    np.take(vectors, rows, axis=0, out=made, mode="clip")
    return made


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
