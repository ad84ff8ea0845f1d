"""Pairs of similar vectors, and their similarity to five digits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

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


Hits = tuple[Rows, Rows]
"""Rows of pairs near or above the floor, in any order, each pair once."""


def measured(hits: Iterable[Hits], vectors: Vectors, floor: float) -> Iterator[Pairs]:
    """Hits as pairs, their similarity computed pair by pair; those below the floor are left out."""
    waiting: list[Pairs] = []
    count = 0
    for query, other in _parts(hits):
        first, second = np.minimum(query, other), np.maximum(query, other)
        similarity = cosines(vectors, first, second)
        waiting.append(Pairs(first, second, similarity).at(np.flatnonzero(similarity >= floor)))
        count += len(waiting[-1])
        if count >= _BATCH:
            yield gathered(waiting)
            waiting, count = [], 0
    yield gathered(waiting)


def _parts(hits: Iterable[Hits]) -> Iterator[Hits]:
    """The same hits, at most a batch at a time."""
    for query, other in hits:
        for start in range(0, len(query), _BATCH):
            yield query[start : start + _BATCH], other[start : start + _BATCH]


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
