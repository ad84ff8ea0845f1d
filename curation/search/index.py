"""An index, opened: metadata, verdicts, vectors and words of one version."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.search.manifest import File, Manifest
from curation.search.mask import Ints
from curation.search.metadata import VERDICT_COLUMNS, read_mapped
from curation.search.store import DamagedIndexError, IndexStore
from curation.search.text_index import TextIndex
from curation.search.vector_index import VectorIndex

VerifiedFiles = set[File]
"""Files that were compared with their digest, in this process."""


class Index:
    """One version of an index."""

    def __init__(self, store: IndexStore, manifest: Manifest, verified: VerifiedFiles) -> None:
        """Raises `DamagedIndexError` if a file not in `verified` is not what was written."""
        files = manifest.files()
        store.verify([file for file in files if file not in verified])
        verified.update(files)
        self.store = store
        self.manifest = manifest
        self._vector_indexes: dict[str, VectorIndex] = {}

    @classmethod
    def open(cls, store: IndexStore, verified: VerifiedFiles) -> Index | None:
        """The newest version; None if there is none. Raises `DamagedIndexError`."""
        manifest = store.read_manifest()
        while manifest is not None:
            try:
                return cls(store, manifest, verified)
            except DamagedIndexError:
                newer = store.read_manifest()  # it may have been replaced while files were read
                if newer == manifest:
                    raise
                manifest = newer
        return None

    @cached_property
    def metadata(self) -> pa.Table:
        """Metadata of all rows, in order."""
        parts = [read_mapped(self.store.path(s.metadata)) for s in self.manifest.clips]
        return pa.concat_tables(parts, promote_options="default")

    @cached_property
    def metadata_with_verdicts(self) -> pa.Table:
        """Metadata and the verdicts of the selection; null for rows that came after it."""
        table = self.metadata
        if self.manifest.verdicts is None:
            return table
        verdicts = read_mapped(self.store.path(self.manifest.verdicts.file))
        for name in VERDICT_COLUMNS:
            missing = pa.nulls(len(table) - len(verdicts), pa.string())
            column = pa.chunked_array([*verdicts[name].chunks, missing], pa.string())
            table = table.append_column(name, column)
        return table

    @cached_property
    def text_index(self) -> TextIndex | None:
        """The words of captions; None if there are none."""
        files = self.manifest.text
        return None if files is None else TextIndex(files, self.store)

    def vector_index(self, table: str) -> VectorIndex:
        """The vectors of a table of embeddings that the manifest names."""
        if table not in self._vector_indexes:
            vectors = VectorIndex(self.manifest.vectors[table], self.store.path)
            self._vector_indexes[table] = vectors
        return self._vector_indexes[table]

    def rows_of(self, ids: Any) -> Ints:
        """The row of each clip id, int64; −1 for unknown ones.

        The requested ids are hashed, not the many of the index, and the newest segments are
        searched first: new rows belong mostly to clips that came lately.
        """
        distinct = pc.unique(ids)
        rows = np.full(len(distinct), -1, np.int64)
        if len(distinct) and self.manifest.rows:
            first_row = self.manifest.rows
            for chunk in reversed(self.metadata["clip_id"].chunks):
                first_row -= len(chunk)
                index = pc.index_in(chunk, distinct)
                positions = np.flatnonzero(index.is_valid().to_numpy(zero_copy_only=False))
                rows[index.drop_null().to_numpy()] = positions + first_row
                if (rows >= 0).all():
                    break
        if len(distinct) == len(ids):
            return rows
        return np.asarray(rows[pc.index_in(ids, distinct).to_numpy()], np.int64)

    @cached_property
    def _batches(self) -> tuple[list[pa.RecordBatch], Ints]:
        """The chunks of `metadata_with_verdicts`, and the row where each starts."""
        batches = self.metadata_with_verdicts.to_batches()
        return batches, np.cumsum([0, *(len(batch) for batch in batches)])

    def take(self, rows: Ints, columns: list[str]) -> pa.Table:
        """Some columns of some rows, in the order of the rows.

        Taken chunk by chunk, as a table would first be copied into one chunk.
        """
        batches, starts = self._batches
        batch_numbers = np.searchsorted(starts, rows, side="right") - 1
        parts: list[pa.Table] = []
        positions: list[Ints] = []
        for number in np.unique(batch_numbers):
            index = np.flatnonzero(batch_numbers == number)
            offsets = pa.array(rows[index] - starts[number])
            part = batches[number].select(columns).take(offsets)
            parts.append(pa.Table.from_batches([part]))
            positions.append(index)
        if not parts:
            schema = self.metadata_with_verdicts.schema
            return pa.schema([schema.field(name) for name in columns]).empty_table()
        if len(parts) == 1:
            return parts[0]
        return pa.concat_tables(parts).take(pa.array(np.argsort(np.concatenate(positions))))
