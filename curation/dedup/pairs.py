"""Pairs of similar vectors, their similarity to five digits, and the exact search for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curation.dedup.vectors import Rows, Vectors

NEAR_DUPLICATE_FLOOR = 0.6
"""Near-duplicates are stored from this similarity on: the least threshold of a policy."""
SEMANTIC_FLOOR = 0.8
"""The same for pairs of embeddings."""
SLACK = 1e-4
"""How far below the floor float32 sums may put a pair that is above it."""
_BATCH = 1_000_000
"""Pairs that are yielded at once."""
_BLOCK = 4096


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

    def take(self, indices: Rows) -> Pairs:
        """The pairs at these indices."""
        return Pairs(self.first[indices], self.second[indices], self.similarity[indices])


RowPairs = tuple[Rows, Rows]
"""Rows of pairs near or above the floor, in any order, each pair once."""


def with_similarity(
    candidates: Iterable[RowPairs], vectors: Vectors, floor: float
) -> Iterator[Pairs]:
    """Candidates above the floor with their similarity, which is computed pair by pair."""
    buffer: list[Pairs] = []
    count = 0
    for queries, others in candidates:
        for start in range(0, len(queries), _BATCH):
            query, other = queries[start : start + _BATCH], others[start : start + _BATCH]
            first, second = np.minimum(query, other), np.maximum(query, other)
            similarity = _cosines(vectors, first, second)
            pairs = Pairs(first, second, similarity)
            buffer.append(pairs.take(np.flatnonzero(similarity >= floor)))
            count += len(buffer[-1])
            if count >= _BATCH:
                yield concat_sorted(buffer)
                buffer, count = [], 0
    yield concat_sorted(buffer)


def _cosines(vectors: Vectors, first: Rows, second: Rows) -> npt.NDArray[np.float64]:
    """Similarities of pairs of unit vectors, at most 1, to five digits."""
    cosines = np.empty(len(first))
    for start in range(0, len(first), 65536):
        block = slice(start, start + 65536)
        one, other = vectors[first[block]], vectors[second[block]]
        cosines[block] = np.einsum("ij,ij->i", one, other, dtype=np.float64)
    return np.asarray(np.round(np.minimum(cosines, 1.0), 5))


def concat(batches: Iterable[Pairs]) -> Pairs:
    """The pairs of some batches one after another."""
    parts = [Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)), *batches]
    return Pairs(
        np.concatenate([part.first for part in parts]),
        np.concatenate([part.second for part in parts]),
        np.concatenate([part.similarity for part in parts]),
    )


def concat_sorted(batches: Iterable[Pairs]) -> Pairs:
    """The pairs of some batches, by rising rows."""
    pairs = concat(batches)
    return pairs.take(np.lexsort((pairs.second, pairs.first)))


BlockSearch = Callable[[Rows, Rows], RowPairs]
"""For two blocks of rows, the positions in both of the pairs near or above the floor."""


def exact_pairs(
    vectors: Vectors,
    floor: float,
    new: npt.NDArray[np.bool_],
    search_block: BlockSearch | None = None,
    part: slice = slice(None),
) -> Iterator[RowPairs]:
    """Compares every new vector with all others, a block at a time; by numpy by default.

    Of two new ones the pair is the one whose query is the smaller row. `part` of the new vectors
    may be compared alone.
    """
    search_block = search_block or numpy_search(vectors, floor)
    queries = np.flatnonzero(new)[part]
    for query_start in range(0, len(queries), _BLOCK):
        query_rows = queries[query_start : query_start + _BLOCK]
        for start in range(0, len(vectors), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(vectors)))
            if new[rows].all() and rows[-1] <= query_rows[0]:
                continue
            query_index, row_index = search_block(query_rows, rows)
            query, other = query_rows[query_index], rows[row_index]
            is_first = (query < other) | ~new[other]
            yield query[is_first], other[is_first]


def numpy_search(vectors: Vectors, floor: float) -> BlockSearch:
    """Compares on the processor."""

    def search_block(queries: Rows, rows: Rows) -> RowPairs:
        first, second = np.nonzero(vectors[queries] @ vectors[rows].T >= floor - SLACK)
        return first, second

    return search_block


def torch_search(vectors: Vectors, floor: float, device: str) -> BlockSearch:
    """Compares on a device, such as `cuda`, that holds all vectors, in plain float32."""
    import torch

    on_device = torch.from_numpy(vectors).to(device)

    def search_block(queries: Rows, rows: Rows) -> RowPairs:
        one, other = (on_device[torch.from_numpy(r).to(device)] for r in (queries, rows))
        indices = torch.nonzero(one @ other.T >= floor - SLACK, as_tuple=True)
        first, second = (index.cpu().numpy() for index in indices)
        return first, second

    return search_block
