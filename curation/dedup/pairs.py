"""All pairs of vectors above a similarity floor: exact, or through inverted lists where many.

Up to 2.5 · 10⁹ comparisons (50,000 clips at once, or 2,500 new ones beside a million) every vector
is compared with every other. Above, `curation.dedup.cells` compares each with its neighbourhood
alone, as far out as a sample of exact searches shows to be needed. Either way a found pair's
similarity is computed again on its own, in float64, so that it does not depend on what else was
searched for in the same run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

EXACT_UP_TO = 2_500_000_000
"""Most comparisons that an exact search makes."""
SLACK = 1e-4
"""How far below the floor float32 sums may put a pair that lies above it."""
_BLOCK = 4096
_BATCH = 1_000_000
"""Pairs that are handed on at once."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows, each once."""

    first: Rows
    """The smaller row."""
    second: Rows
    similarity: npt.NDArray[np.float64]
    """Cosine similarity, at most 1, to five digits."""

    def __len__(self) -> int:
        return len(self.first)

    def at(self, places: Rows) -> Pairs:
        """Those at some places."""
        return Pairs(self.first[places], self.second[places], self.similarity[places])


def similar_pairs(
    vectors: Vectors, floor: float, new: npt.NDArray[np.bool_] | None = None
) -> Pairs:
    """Pairs of unit vectors [n, dim] that are at least `floor` similar and of which one is new.

    Without `new`, all are. A zero vector is in no pair; `floor` has to be above 0.
    """
    return gathered(pair_batches(vectors, floor, new))


def pair_batches(
    vectors: Vectors, floor: float, new: npt.NDArray[np.bool_] | None = None
) -> Iterator[Pairs]:
    """The same pairs, about a million at a time, in any order."""
    from curation.dedup.cells import listed_hits

    fresh = np.ones(len(vectors), bool) if new is None else new
    few = int(fresh.sum()) * len(vectors) <= EXACT_UP_TO
    hits = (exact_hits if few else listed_hits)(vectors, floor, fresh)
    yield from measured(hits, vectors, floor)


Hits = tuple[Rows, Rows]
"""Rows of pairs near or above the floor, in any order, each pair once."""


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


def measured(hits: Iterable[Hits], vectors: Vectors, floor: float) -> Iterator[Pairs]:
    """Hits as pairs, their similarity computed pair by pair; those below the floor are left out."""
    waiting: list[Pairs] = []
    count = 0
    for query, other in hits:
        first, second = np.minimum(query, other), np.maximum(query, other)
        similarity = cosines(vectors, first, second)
        waiting.append(Pairs(first, second, similarity).at(np.flatnonzero(similarity >= floor)))
        count += len(waiting[-1])
        if count >= _BATCH:
            yield gathered(waiting)
            waiting, count = [], 0
    yield gathered(waiting)


def gathered(batches: Iterable[Pairs]) -> Pairs:
    """All pairs of some batches, by rising rows."""
    pairs = joined(batches)
    return pairs.at(np.lexsort((pairs.second, pairs.first)))


def joined(batches: Iterable[Pairs]) -> Pairs:
    """The pairs of some batches one after another."""
    listed = [Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)), *batches]
    return Pairs(
        np.concatenate([each.first for each in listed]),
        np.concatenate([each.second for each in listed]),
        np.concatenate([each.similarity for each in listed]),
    )


def cosines(vectors: Vectors, first: Rows, second: Rows) -> npt.NDArray[np.float64]:
    """Similarities of pairs of unit vectors, at most 1, to five digits."""
    found = np.empty(len(first))
    for start in range(0, len(first), 65536):
        part = slice(start, start + 65536)
        one, other = vectors[first[part]], vectors[second[part]]
        found[part] = np.einsum("ij,ij->i", one, other, dtype=np.float64)
    return np.asarray(np.round(np.minimum(found, 1.0), 5))
