"""All pairs of vectors above a similarity floor, by comparing each with every other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from curation.dedup.pairs import Hits, Rows, Vectors

SLACK = 1e-4
"""How far below the floor float32 sums may put a pair that lies above it."""
_BLOCK = 4096

Near = Callable[[Rows, Rows], Hits]
"""Given the rows of two blocks, places in both of the pairs that are near or above the floor."""


def exact_hits(
    vectors: Vectors, floor: float, new: npt.NDArray[np.bool_], near: Near | None = None
) -> Iterator[Hits]:
    """Compares every new vector with all others, a block at a time; by numpy unless told how.

    Of two new ones the pair is the one whose query is the smaller row.
    """
    near = near or by_numpy(vectors, floor)
    queries = np.flatnonzero(new)
    for start in range(0, len(queries), _BLOCK):
        rows = queries[start : start + _BLOCK]
        for at in range(0, len(vectors), _BLOCK):
            others = np.arange(at, min(at + _BLOCK, len(vectors)))
            if new[others].all() and others[-1] <= rows[0]:
                continue
            one, two = near(rows, others)
            query, other = rows[one], others[two]
            once = (query < other) | ~new[other]
            yield query[once], other[once]


def by_numpy(vectors: Vectors, floor: float) -> Near:
    """Compares on the processor."""

    def near(rows: Rows, others: Rows) -> Hits:
        one, two = np.nonzero(vectors[rows] @ vectors[others].T >= floor - SLACK)
        return one, two

    return near


def by_torch(vectors: Vectors, floor: float, device: str) -> Near:
    """Compares on a device, such as `cuda`, that holds all vectors, in plain float32."""
    import torch

    there = torch.from_numpy(vectors).to(device)

    def near(rows: Rows, others: Rows) -> Hits:
        one, two = (there[torch.from_numpy(each).to(device)] for each in (rows, others))
        found = torch.nonzero(one @ two.T >= floor - SLACK, as_tuple=True)
        first, second = (each.cpu().numpy() for each in found)
        return first, second

    return near
