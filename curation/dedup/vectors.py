"""Float32 vectors of many clips: in memory, or in a mapped file where they would fill it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

BLOCK = 65536
"""Rows that are worked on at once."""
_MEMORY_SHARE = 0.2
"""Of the memory, what one array may take: there may be two, beside what they are made of."""
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def allocate(count: int, dim: int) -> Vectors:
    """An uninitialised array for vectors, float32 [count, dim].

    If it would take more than a fifth of the memory it is mapped from an unnamed file in the
    temporary folder (`TMPDIR`). Raises `OSError` if the file does not fit there.
    """
    size_bytes = 4 * count * dim
    if size_bytes <= _MEMORY_SHARE * _memory_bytes():
        return np.empty((count, dim), np.float32)
    with tempfile.TemporaryFile(prefix="reelmill-") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size_bytes)
        return np.memmap(file, np.float32, "w+", shape=(count, dim))


def take_rows(vectors: Vectors, rows: Rows) -> Vectors:
    """Some rows, in an array from `allocate`; the same array where these are all rows."""
    if len(rows) == len(vectors):
        return vectors
    subset = allocate(len(rows), vectors.shape[1])
    np.take(vectors, rows, axis=0, out=subset, mode="clip")
    return subset


def unpack(packed: Sequence[bytes], dim: int) -> Vectors:
    """Stored float16 vectors as float32 [n, dim], scaled to unit length again (or zero)."""
    vectors = allocate(len(packed), dim)
    for start in range(0, len(packed), BLOCK):
        block = packed[start : start + BLOCK]
        vectors[start : start + len(block)] = np.frombuffer(b"".join(block), "<f2").reshape(-1, dim)
    return normalize(vectors)


def normalize(vectors: Vectors) -> Vectors:
    """Scales vectors to unit length, in place; those shorter than 0.001 become zero."""
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK]
        lengths = np.linalg.norm(block, axis=1, keepdims=True)
        block /= np.where(lengths > 1e-3, lengths, np.inf)
    return vectors


def _memory_bytes() -> int:
    """Memory of the machine, or of the container."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _CGROUP_LIMIT.read_text().strip() if _CGROUP_LIMIT.is_file() else "max"
    return physical if limit == "max" else min(physical, int(limit))
