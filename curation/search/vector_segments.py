"""Stored vectors, as further segments of an index.

They are written without lists, so that they are found soon; `tidy` sorts them into lists after.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa

from curation.search import ivf
from curation.search.incremental import Fresh
from curation.search.index import Index
from curation.search.manifest import Manifest, VectorTable
from curation.search.mask import Bools, Ints
from curation.search.segment import Halves

_WITHOUT_SIGN = np.uint16(0x7FFF)
_INFINITY = np.float16(np.inf).view(np.uint16)
_LEAST = np.float16(1e-4).view(np.uint16)
"""Below this all numbers of a vector are as good as zero: it has unit length otherwise."""


def count(manifest: Manifest) -> int:
    """Vectors of all tables."""
    return sum(table.count for table in manifest.vectors.values())


def appended(
    index: Index, fresh: Fresh, old: VectorTable | None, model: str
) -> tuple[VectorTable | None, pa.Array]:
    """A table's vectors with those that came, and the ids of clips that are unknown so far.

    None where nothing is stored. `ValueError` for vectors of several lengths.
    """
    pending, strangers, found = _Pending(), [pa.array([], pa.string())], old
    has = _having(index, old)
    for batch in fresh.batches(["clip_id", "dim", "vector"]):
        rows = index.rows(batch["clip_id"])
        strangers.append(batch["clip_id"].filter(pa.array(rows < 0, pa.bool_())))
        vectors = _vectors(batch, fresh.name, found)
        if vectors is None:
            continue
        found = found or VectorTable(vectors.shape[1], model)
        wanted = (rows >= 0) & ~has[rows]
        good = _usable(vectors)
        found = dataclasses.replace(found, empty=found.empty + int((wanted & ~good).sum()))
        has[rows[wanted]] = True
        pending.add(rows[wanted & good], vectors[wanted & good])
        if pending.count >= ivf.LARGEST_SEGMENT:
            found = pending.written(index, found)
    if found is not None:
        found = pending.written(index, found)
    return found, pa.concat_arrays(strangers)


def _having(index: Index, old: VectorTable | None) -> Bools:
    """Which rows have a vector."""
    has = np.zeros(index.manifest.rows + 1, bool)
    for said in old.segments if old else ():
        if said.rows is None:
            first = said.first_row or 0
            has[first : first + said.count] = True
        else:
            has[np.fromfile(index.folder.path(said.rows), np.int64)] = True
    return has


def _vectors(batch: pa.RecordBatch, name: str, table: VectorTable | None) -> Halves | None:
    """The vectors of a batch, float16 [n, dim], without a copy."""
    dims = batch["dim"].to_numpy()
    if not len(dims):
        return None
    dim = table.dim if table else int(dims[0])
    if (dims != dim).any():
        raise ValueError(
            f"{name} holds vectors of several lengths: {sorted({dim, *dims.tolist()})}"
        )
    vectors = batch["vector"]
    offsets = np.frombuffer(vectors.buffers()[1], np.int32)[vectors.offset :][: len(dims) + 1]
    if (np.diff(offsets) != 2 * dim).any():
        raise ValueError(f"{name} holds a vector that has not the {2 * dim} bytes of {dim} numbers")
    return np.frombuffer(vectors.buffers()[2], "<f2")[offsets[0] // 2 : offsets[-1] // 2].reshape(
        -1, dim
    )


def _usable(vectors: Halves) -> Bools:
    """Which vectors are numbers, and not all zero.

    But for the sign, halves are in the order of their bits; infinity and NaN come last.
    """
    largest = (vectors.view(np.uint16) & _WITHOUT_SIGN).max(axis=1)
    return np.asarray((largest >= _LEAST) & (largest < _INFINITY), bool)


class _Pending:
    """Vectors that no segment holds yet."""

    def __init__(self) -> None:
        self._rows: list[Ints] = []
        self._vectors: list[Any] = []
        self.count = 0

    def add(self, rows: Ints, vectors: Halves) -> None:
        self._rows.append(rows)
        self._vectors.append(vectors)
        self.count += len(rows)

    def written(self, index: Index, table: VectorTable) -> VectorTable:
        """The table with a segment of these, in the order of their rows."""
        if not self.count:
            return table
        rows, vectors = np.concatenate(self._rows), np.concatenate(self._vectors)
        self._rows, self._vectors, self.count = [], [], 0
        if (np.diff(rows) < 0).any():
            order = np.argsort(rows)
            rows, vectors = rows[order], vectors[order]
        segment = ivf.segment(index.folder, rows, vectors)
        return dataclasses.replace(table, segments=(*table.segments, segment))
