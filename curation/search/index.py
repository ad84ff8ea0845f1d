"""An index, opened: facts, verdicts, vectors and words of one version, each file checked once."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.search import metadata
from curation.search.manifest import File, Manifest
from curation.search.mask import Ints
from curation.search.store import DamagedIndexError, Folder
from curation.search.text_index import WordIndex
from curation.search.vector_index import Vectors

Checked = set[File]
"""Files that were compared with their digest, in this process."""


class Index:
    """One version of an index."""

    def __init__(self, folder: Folder, manifest: Manifest, checked: Checked) -> None:
        """Raises `DamagedIndexError` if a file not in `checked` is not what was written."""
        files = manifest.files()
        folder.check([file for file in files if file not in checked])
        checked.update(files)
        self.folder = folder
        self.manifest = manifest
        self._vectors: dict[str, Vectors] = {}

    @classmethod
    def open(cls, folder: Folder, checked: Checked) -> Index | None:
        """The newest version; None if there is none. Raises `DamagedIndexError`."""
        manifest = folder.read()
        while manifest is not None:
            try:
                return cls(folder, manifest, checked)
            except DamagedIndexError:
                newer = folder.read()  # it may have been replaced while its files were read
                if newer == manifest:
                    raise
                manifest = newer
        return None

    @cached_property
    def facts(self) -> pa.Table:
        """Facts of all rows, in order."""
        parts = [metadata.mapped(self.folder.path(s.facts)) for s in self.manifest.clips]
        return pa.concat_tables(parts, promote_options="default")

    @cached_property
    def judged(self) -> pa.Table:
        """Facts with what the selection says; null for rows that came after it."""
        table, said = self.facts, self.manifest.verdicts
        if said is None:
            return table
        verdicts = metadata.mapped(self.folder.path(said.file))
        for name in metadata.JUDGED:
            missing = pa.nulls(len(table) - len(verdicts), pa.string())
            column = pa.chunked_array([*verdicts[name].chunks, missing], pa.string())
            table = table.append_column(name, column)
        return table

    @cached_property
    def words(self) -> WordIndex | None:
        """The words of captions; None if there are none."""
        said = self.manifest.words
        return None if said is None else WordIndex(said, self.folder)

    def vectors(self, table: str) -> Vectors:
        """The vectors of a table of embeddings that the manifest names."""
        if table not in self._vectors:
            self._vectors[table] = Vectors(self.manifest.vectors[table], self.folder.path)
        return self._vectors[table]

    def rows(self, ids: Any) -> Ints:
        """The row of each clip id, int64; −1 for those that are not there.

        The ids are hashed, not the many that are there, and the newest segments are asked first:
        what comes belongs mostly to clips that came lately.
        """
        distinct = pc.unique(ids)
        found = np.full(len(distinct), -1, np.int64)
        if len(distinct) and self.manifest.rows:
            first = self.manifest.rows
            for chunk in reversed(self.facts["clip_id"].chunks):
                first -= len(chunk)
                at = pc.index_in(chunk, distinct)
                here = np.flatnonzero(at.is_valid().to_numpy(zero_copy_only=False))
                found[at.drop_null().to_numpy()] = here + first
                if (found >= 0).all():
                    break
        if len(distinct) == len(ids):
            return found
        return np.asarray(found[pc.index_in(ids, distinct).to_numpy()], np.int64)

    @cached_property
    def _batches(self) -> tuple[list[pa.RecordBatch], Ints]:
        """The chunks of `judged`, and the row where each starts."""
        batches = self.judged.to_batches()
        return batches, np.cumsum([0, *(len(batch) for batch in batches)])

    def take(self, rows: Ints, columns: list[str]) -> pa.Table:
        """Some columns of some rows, in the order of the rows.

        Each chunk is asked for its own, as a table would first be copied into one.
        """
        batches, starts = self._batches
        of = np.searchsorted(starts, rows, side="right") - 1
        parts: list[pa.Table] = []
        where: list[Ints] = []
        for at in np.unique(of):
            own = np.flatnonzero(of == at)
            chunk = batches[at].select(columns).take(pa.array(rows[own] - starts[at]))
            parts.append(pa.Table.from_batches([chunk]))
            where.append(own)
        if not parts:
            return pa.schema([self.judged.schema.field(name) for name in columns]).empty_table()
        if len(parts) == 1:
            return parts[0]
        return pa.concat_tables(parts).take(pa.array(np.argsort(np.concatenate(where))))
