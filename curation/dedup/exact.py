"""All pairs of vectors above a similarity floor, by comparing each with every other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from curation.dedup.pairs import Hits, Rows, Vectors

SLACK = 1e-4
"""How far below the floor float32 sums may put a pair that lies above it."""
_BLOCK = 4096


def exact_hits(vectors: Vectors, floor: float, new: npt.NDArray[np.bool_]) -> Iterator[Hits]:
    """Compares every new vector with all others, a block at a time."""
    queries = np.flatnonzero(new)
    for start in range(0, len(queries), _BLOCK):
        rows = queries[start : start + _BLOCK]
        for at in range(0, len(vectors), _BLOCK):
            others = np.arange(at, min(at + _BLOCK, len(vectors)))
            if new[others].all() and others[-1] <= rows[0]:
                continue
            yield hits_between(vectors, rows, others, floor, new)


def hits_between(
    vectors: Vectors, rows: Rows, others: Rows, floor: float, new: npt.NDArray[np.bool_]
) -> Hits:
    """Pairs of new rows with others; of two new ones the one whose query is the smaller row."""
    similar = vectors[rows] @ vectors[others].T
    at, hit = np.nonzero(similar >= floor - SLACK)
    query, other = rows[at], others[hit]
    once = (query < other) | ~new[other]
    return query[once], other[once]
