"""Making the files of vectors: exact ones, inverted lists, and how many lists a query needs.

There are about 2 √n lists, whose centres k-means finds on 48 vectors each (or all). The number that
a query looks into is tuned on 256 stored vectors as queries, themselves left out: the least for
which 97 % of the true ten nearest are found.
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
from curation.search.store import Folder
from curation.search.vector_index import Vectors

FLAT_UP_TO = 50_000
"""So many vectors are compared one by one."""
LARGEST_SEGMENT = 1 << 21
"""Vectors of a segment: what is held in memory while it is made."""
TARGET = 0.97
"""Share of the ten nearest that tuning asks for."""
_A_LIST = 48
_ROUNDS = 8
_BLOCK = 1 << 15
_QUERIES = 256
_NEAREST = 10
_SEED = 17


def exact(folder: Folder, vectors: Halves) -> File:
    """Writes vectors, float16 [n, dim]."""
    index = faiss.IndexScalarQuantizer(
        vectors.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    index.is_trained = True
    codes = np.ascontiguousarray(vectors).view(np.uint8).reshape(len(vectors), -1)
    index.add_sa_codes(codes)
    return folder.write(".half", lambda path: faiss.write_index(index, path))


def segment(folder: Folder, rows: Ints, vectors: Halves) -> VectorSegment:
    """Writes vectors, without lists."""
    half = exact(folder, vectors)
    first, numbers = int(rows[0]), None
    if not np.array_equal(rows, np.arange(first, first + len(rows))):
        numbers = folder.write(".rows", lambda path: rows.astype(np.int64).tofile(path))
    return VectorSegment(len(rows), first if numbers is None else None, numbers, half, None)


def filled(folder: Folder, empty: Any, vectors: Halves) -> File:
    """Writes inverted lists of these vectors, numbered from 0."""
    index = faiss.clone_index(empty)
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    for start, block in _blocks(vectors):
        index.add_with_ids(block, np.arange(start, start + len(block)))
    return folder.write(".ivf", lambda path: faiss.write_index(index, path))


def trained(segments: Sequence[Segment]) -> Any:
    """Lists without content, their centres found on a sample of the vectors."""
    total = sum(one.count for one in segments)
    count = 1 << round(np.log2(2 * np.sqrt(total)))
    rng = np.random.default_rng(_SEED)
    picked = np.sort(rng.permutation(total)[: count * _A_LIST])
    index: Any = faiss.index_factory(
        segments[0].half.shape[1], f"IVF{count},SQ8", faiss.METRIC_INNER_PRODUCT
    )
    index.cp.niter, index.cp.seed = _ROUNDS, _SEED
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    index.train(_picked(segments, picked))
    return index


def tuned(vectors: Vectors, trained_on: int) -> Tuning:
    """The least number of lists that reaches the target, what is found there, and how fast."""
    picked, queries, truth = _asked(vectors.segments)
    lists = len(vectors.centres)

    def recall(probes: int) -> float:
        vectors.probes = probes
        hits = 0
        for query, own, nearest in zip(queries, picked, truth, strict=True):
            rows = vectors.search(query, _NEAREST + 1).rows
            hits += len(np.intersect1d(rows[rows != own][:_NEAREST], nearest))
        return hits / max(1, truth.size)

    low, high = 0, 1
    while high < lists and recall(high) < TARGET:
        low, high = high, min(2 * high, lists)
    while high - low > max(1, low // 8):
        middle = (low + high) // 2
        low, high = (low, middle) if recall(middle) >= TARGET else (middle, high)
    reached = recall(high)
    took = _p50_ms(vectors, queries)
    return Tuning(lists, high, round(reached, 4), took, vectors.said.count, trained_on)


def _p50_ms(vectors: Vectors, queries: Floats) -> float:
    took = []
    for query in queries:
        start = time.perf_counter()
        vectors.search(query, _NEAREST)
        took.append(time.perf_counter() - start)
    return round(1e3 * float(np.median(took)), 3)


def _asked(segments: Sequence[Segment]) -> tuple[Ints, Floats, Ints]:
    """Rows of the vectors that are asked for, those vectors, and the rows of the ten nearest."""
    total = sum(one.count for one in segments)
    rng = np.random.default_rng(_SEED + 1)
    picked = np.sort(rng.permutation(total)[:_QUERIES])
    queries = _picked(segments, picked)
    best = np.full((len(picked), 0), 0, np.float32)
    rows = np.full((len(picked), 0), 0, np.int64)
    for one in segments:
        for start, block in _blocks(one.half):
            places = np.arange(start, start + len(block))
            best = np.concatenate([best, queries @ block.T], axis=1)
            rows = np.concatenate([rows, np.tile(one.rows(places), (len(picked), 1))], axis=1)
            keep = min(_NEAREST + 1, best.shape[1])
            top = np.argpartition(-best, keep - 1, axis=1)[:, :keep]
            best, rows = np.take_along_axis(best, top, 1), np.take_along_axis(rows, top, 1)
    own = _rows_of(segments, picked)
    order = np.argsort(np.where(rows == own[:, None], np.inf, -best), axis=1)[:, :_NEAREST]
    return own, queries, np.take_along_axis(rows, order, 1)


def _picked(segments: Sequence[Segment], places: Ints) -> Floats:
    """Vectors by their place among all, rising, float32."""
    return np.concatenate([one.half[own].astype(np.float32) for one, own in _own(segments, places)])


def _rows_of(segments: Sequence[Segment], places: Ints) -> Ints:
    return np.concatenate([one.rows(own) for one, own in _own(segments, places)])


def _own(segments: Sequence[Segment], places: Ints) -> Iterator[tuple[Segment, Ints]]:
    """Each segment with the places in it."""
    first = 0
    for one in segments:
        yield one, places[(places >= first) & (places < first + one.count)] - first
        first += one.count


def _blocks(vectors: Halves) -> Iterator[tuple[int, Floats]]:
    for start in range(0, len(vectors), _BLOCK):
        yield start, vectors[start : start + _BLOCK].astype(np.float32)


def relisted(folder: Folder, table: VectorTable) -> VectorTable:
    """The table with inverted lists made anew for all its vectors, and tuned."""
    opened = [Segment(dataclasses.replace(s, ivf=None), folder.path) for s in table.segments]
    empty = trained(opened)
    lists = folder.write(".lists", lambda path: faiss.write_index(empty, path))
    segments = tuple(
        dataclasses.replace(said, ivf=filled(folder, empty, one.half))
        for said, one in zip(table.segments, opened, strict=True)
    )
    made = dataclasses.replace(table, segments=segments, lists=lists)
    return retuned(folder, made, table.count)


def retuned(folder: Folder, table: VectorTable, trained_on: int) -> VectorTable:
    """The table with the number of lists that it needs now."""
    return dataclasses.replace(table, tuning=tuned(Vectors(table, folder.path), trained_on))
