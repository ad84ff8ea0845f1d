"""Making the files of vectors: exact ones, inverted lists, and how many lists a query probes.

There are about 2 √n lists, whose centres k-means finds on 48 vectors each (or all). The number that
a query probes is tuned on 256 stored vectors as queries, themselves left out: the least for which
97 % of the true ten nearest are found.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

import faiss
import numpy as np

from curation.search.manifest import File, Tuning, VectorSegment, VectorTable
from curation.search.mask import Ints
from curation.search.segment import Floats, Halves, Segment
from curation.search.store import IndexStore
from curation.search.vector_index import VectorIndex

FLAT_UP_TO = 50_000
"""So many vectors are compared one by one."""
LARGEST_SEGMENT = 1 << 21
"""Vectors of a segment: what is held in memory while it is written."""
TARGET = 0.97
"""Share of the ten nearest that tuning reaches."""
_TRAINED_ON = 48
"""Vectors a list that k-means sees."""
_ITERATIONS = 8
_BLOCK = 1 << 15
_QUERIES = 256
_NEAREST = 10
_SEED = 17


def write_segment(store: IndexStore, rows: Ints, vectors: Halves) -> VectorSegment:
    """Writes vectors, float16 [n, dim], of these rows, without lists."""
    index = faiss.IndexScalarQuantizer(
        vectors.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    index.is_trained = True
    codes = np.ascontiguousarray(vectors).view(np.uint8).reshape(len(vectors), -1)
    index.add_sa_codes(codes)
    fp16 = store.write(".half", lambda path: faiss.write_index(index, path))
    first = int(rows[0])
    if np.array_equal(rows, np.arange(first, first + len(rows))):
        return VectorSegment(len(rows), first, None, fp16, None)
    row_file = store.write(".rows", lambda path: rows.astype(np.int64).tofile(path))
    return VectorSegment(len(rows), None, row_file, fp16, None)


def write_lists(store: IndexStore, empty_lists: Any, vectors: Halves) -> File:
    """Writes inverted lists of these vectors, numbered from 0."""
    index = faiss.clone_index(empty_lists)
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    for start, block in _blocks(vectors):
        index.add_with_ids(block, np.arange(start, start + len(block)))
    return store.write(".ivf", lambda path: faiss.write_index(index, path))


def rebuild_lists(store: IndexStore, table: VectorTable) -> VectorTable:
    """The table with new inverted lists for all its vectors, and tuned."""
    opened = [Segment(dataclasses.replace(s, ivf=None), store.path) for s in table.segments]
    empty_lists = _train(opened)
    lists = store.write(".lists", lambda path: faiss.write_index(empty_lists, path))
    segments = tuple(
        dataclasses.replace(segment, ivf=write_lists(store, empty_lists, vectors.fp16))
        for segment, vectors in zip(table.segments, opened, strict=True)
    )
    table = dataclasses.replace(table, segments=segments, lists=lists)
    return retune(store, table, table.count)


def retune(store: IndexStore, table: VectorTable, trained_on: int) -> VectorTable:
    """The table with the number of lists that it needs now."""
    return dataclasses.replace(table, tuning=_tune(VectorIndex(table, store.path), trained_on))


def _train(segments: Sequence[Segment]) -> Any:
    """Empty lists, their centres found on a sample of the vectors."""
    total = sum(segment.count for segment in segments)
    num_lists = 1 << round(np.log2(2 * np.sqrt(total)))
    rng = np.random.default_rng(_SEED)
    sample = np.sort(rng.permutation(total)[: num_lists * _TRAINED_ON])
    index: Any = faiss.index_factory(
        segments[0].fp16.shape[1], f"IVF{num_lists},SQ8", faiss.METRIC_INNER_PRODUCT
    )
    index.cp.niter, index.cp.seed = _ITERATIONS, _SEED
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    index.train(_take_vectors(segments, sample))
    return index


def _tune(index: VectorIndex, trained_on: int) -> Tuning:
    """The least number of lists that reaches the target, the recall there, and the time."""
    rows, queries, truth = _queries_and_truth(index.segments)
    num_lists = len(index.centres)

    def recall(probes: int) -> float:
        index.probes = probes
        hits = 0
        for query, row, nearest in zip(queries, rows, truth, strict=True):
            top = index.search(query, _NEAREST + 1).rows
            hits += len(np.intersect1d(top[top != row][:_NEAREST], nearest))
        return hits / max(1, truth.size)

    low, high = 0, 1
    while high < num_lists and recall(high) < TARGET:
        low, high = high, min(2 * high, num_lists)
    while high - low > max(1, low // 8):
        middle = (low + high) // 2
        low, high = (low, middle) if recall(middle) >= TARGET else (middle, high)
    reached = round(recall(high), 4)
    return Tuning(num_lists, high, reached, _p50_ms(index, queries), index.table.count, trained_on)


def _p50_ms(index: VectorIndex, queries: Floats) -> float:
    seconds = []
    for query in queries:
        start = time.perf_counter()
        index.search(query, _NEAREST)
        seconds.append(time.perf_counter() - start)
    return round(1e3 * float(np.median(seconds)), 3)


def _queries_and_truth(segments: Sequence[Segment]) -> tuple[Ints, Floats, Ints]:
    """Rows of sampled vectors, those vectors, and the rows of the ten nearest of each."""
    total = sum(segment.count for segment in segments)
    rng = np.random.default_rng(_SEED + 1)
    sample = np.sort(rng.permutation(total)[:_QUERIES])
    queries = _take_vectors(segments, sample)
    scores = np.empty((len(sample), 0), np.float32)
    rows = np.empty((len(sample), 0), np.int64)
    for segment in segments:
        for start, block in _blocks(segment.fp16):
            block_rows = segment.rows_of(np.arange(start, start + len(block)))
            scores = np.concatenate([scores, queries @ block.T], axis=1)
            rows = np.concatenate([rows, np.tile(block_rows, (len(sample), 1))], axis=1)
            count = min(_NEAREST + 1, scores.shape[1])
            top = np.argpartition(-scores, count - 1, axis=1)[:, :count]
            scores, rows = np.take_along_axis(scores, top, 1), np.take_along_axis(rows, top, 1)
    sample_rows = np.concatenate([s.rows_of(p) for s, p in _by_segment(segments, sample)])
    is_self = rows == sample_rows[:, None]
    order = np.argsort(np.where(is_self, np.inf, -scores), axis=1)[:, :_NEAREST]
    return sample_rows, queries, np.take_along_axis(rows, order, 1)


def _take_vectors(segments: Sequence[Segment], positions: Ints) -> Floats:
    """Vectors by their position among all, rising, float32."""
    return np.concatenate(
        [segment.fp16[p].astype(np.float32) for segment, p in _by_segment(segments, positions)]
    )


def _by_segment(segments: Sequence[Segment], positions: Ints) -> Iterator[tuple[Segment, Ints]]:
    """Each segment with the positions in it."""
    first = 0
    for segment in segments:
        is_inside = (positions >= first) & (positions < first + segment.count)
        yield segment, positions[is_inside] - first
        first += segment.count


def _blocks(vectors: Halves) -> Iterator[tuple[int, Floats]]:
    for start in range(0, len(vectors), _BLOCK):
        yield start, vectors[start : start + _BLOCK].astype(np.float32)
