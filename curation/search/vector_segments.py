"""Stored vectors, as further segments of an index.

They are written without lists, so that they are found soon; compaction sorts them into lists.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa

from curation.search import ivf
from curation.search.incremental import NewFiles
from curation.search.index import Index
from curation.search.manifest import VectorTable
from curation.search.mask import Bools, Ints
from curation.search.query import SearchError
from curation.search.segment import Halves

_SIGN_MASK = np.uint16(0x7FFF)
_INFINITY = np.float16(np.inf).view(np.uint16)
_MIN_LARGEST = np.float16(1e-4).view(np.uint16)
"""If all numbers of a vector are below this it is as good as zero: others have unit length."""


def append_vectors(
    index: Index, new: NewFiles, table: VectorTable | None, model: str
) -> tuple[VectorTable | None, pa.Array]:
    """A table's vectors with those that came, and the ids of clips that are unknown so far.

    None where nothing is stored. `SearchError` for vectors of several lengths.
    """
    buffer, unknown = _Buffer(), [pa.array([], pa.string())]
    has_vector = _rows_with_vector(index, table)
    for batch in new.batches(["clip_id", "dim", "vector"]):
        rows = index.rows_of(batch["clip_id"])
        unknown.append(batch["clip_id"].filter(pa.array(rows < 0, pa.bool_())))
        vectors = _batch_vectors(batch, new.name, table)
        if vectors is None:
            continue
        table = table or VectorTable(vectors.shape[1], model)
        is_new = (rows >= 0) & ~has_vector[rows]
        is_usable = _is_usable(vectors)
        empty = int((is_new & ~is_usable).sum())
        table = dataclasses.replace(table, empty=table.empty + empty)
        has_vector[rows[is_new]] = True
        buffer.add(rows[is_new & is_usable], vectors[is_new & is_usable])
        if buffer.count >= ivf.LARGEST_SEGMENT:
            table = buffer.flush(index, table)
    if table is not None:
        table = buffer.flush(index, table)
    return table, pa.concat_arrays(unknown)


def _rows_with_vector(index: Index, table: VectorTable | None) -> Bools:
    """Which rows have a vector; the last one is that of unknown clips (row −1)."""
    has_vector = np.zeros(index.manifest.rows + 1, bool)
    for segment in table.segments if table else ():
        if segment.rows is None:
            first = segment.first_row or 0
            has_vector[first : first + segment.count] = True
        else:
            has_vector[np.fromfile(index.store.path(segment.rows), np.int64)] = True
    return has_vector


def _batch_vectors(batch: pa.RecordBatch, name: str, table: VectorTable | None) -> Halves | None:
    """The vectors of a batch, float16 [n, dim], without a copy."""
    dims = batch["dim"].to_numpy()
    if not len(dims):
        return None
    dim = table.dim if table else int(dims[0])
    if (dims != dim).any():
        raise SearchError(
            f"{name} holds vectors of several lengths: {sorted({dim, *dims.tolist()})}"
        )
    vectors = batch["vector"]
    offsets = np.frombuffer(vectors.buffers()[1], np.int32)[vectors.offset :][: len(dims) + 1]
    if (np.diff(offsets) != 2 * dim).any():
        raise SearchError(
            f"{name} holds a vector that has not the {2 * dim} bytes of {dim} numbers"
        )
    numbers = np.frombuffer(vectors.buffers()[2], "<f2")
    return numbers[offsets[0] // 2 : offsets[-1] // 2].reshape(-1, dim)


def _is_usable(vectors: Halves) -> Bools:
    """Which vectors are finite, and not all zero.

    But for the sign, halves are in the order of their bits; infinity and NaN come last.
    """
    largest = (vectors.view(np.uint16) & _SIGN_MASK).max(axis=1)
    return np.asarray((largest >= _MIN_LARGEST) & (largest < _INFINITY), bool)


class _Buffer:
    """Vectors that no segment holds yet."""

    def __init__(self) -> None:
        self._rows: list[Ints] = []
        self._vectors: list[Halves] = []
        self.count = 0

    def add(self, rows: Ints, vectors: Halves) -> None:
        self._rows.append(rows)
        self._vectors.append(vectors)
        self.count += len(rows)

    def flush(self, index: Index, table: VectorTable) -> VectorTable:
        """The table with a segment of these, in the order of their rows."""
        if not self.count:
            return table
        rows, vectors = np.concatenate(self._rows), np.concatenate(self._vectors)
        self._rows, self._vectors, self.count = [], [], 0
        if (np.diff(rows) < 0).any():
            order = np.argsort(rows)
            rows, vectors = rows[order], vectors[order]
        segment = ivf.write_segment(index.store, rows, vectors)
        return dataclasses.replace(table, segments=(*table.segments, segment))
