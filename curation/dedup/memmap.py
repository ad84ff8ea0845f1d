"""Where many vectors lie: in memory, or in a file where they would fill it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from curation.dedup.pairs import Rows, Vectors

_SHARE = 0.2
"""Of the memory, what one array may take: there may be two, beside what they are made of."""
_LIMIT = Path("/sys/fs/cgroup/memory.max")


def room(count: int, dim: int) -> Vectors:
    """An array for vectors, float32 [count, dim].

    If it would take more than a fifth of the memory it lies in a file without a name in the
    temporary folder (`TMPDIR`), mapped, so that the system holds of it what there is room for.
    Raises `OSError` if the file does not fit there.
    """
    if 4 * count * dim <= _SHARE * _memory():
        return np.empty((count, dim), np.float32)
    with tempfile.TemporaryFile(prefix="reelmill-") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, 4 * count * dim)
        return np.memmap(file, np.float32, "w+", shape=(count, dim))


def taken(vectors: Vectors, rows: Rows) -> Vectors:
    """Some rows of vectors, in an array with room of its own; all of them as they are."""
    if len(rows) == len(vectors):
        return vectors
    made = room(len(rows), vectors.shape[1])
    np.take(vectors, rows, axis=0, out=made, mode="clip")
    return made


def _memory() -> int:
    """Bytes that the machine has, or the container."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _LIMIT.read_text().strip() if _LIMIT.is_file() else "max"
    return there if limit == "max" else min(there, int(limit))
