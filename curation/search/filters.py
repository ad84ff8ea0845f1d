"""Which rows a query may find: those not deleted since, and for which its condition holds."""

from __future__ import annotations

import os
import time
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.catalog import Catalog
from curation.dataset import Dataset
from curation.records import Clip, Embedding
from curation.search.incremental import NewFiles
from curation.search.index import Index
from curation.search.manifest import ReadFiles
from curation.search.mask import Bools, Ints, Mask
from curation.search.query import SearchError

_MAX_MASKS = 16
_MTIME_RESOLUTION_S = 0.1
"""A log that changed less than this ago may change again without its time saying so."""


class RowFilters:
    """The masks of one index version; the last few are cached."""

    def __init__(self, index: Index, live_rows: LiveRows) -> None:
        self._index = index
        self._live_rows = live_rows
        self._masks: dict[Any, Mask | None] = {}

    def mask(
        self, where: str | None, num_rows: int | None = None, table: str | None = None
    ) -> Mask | None:
        """Rows that are not deleted and for which a condition holds; None for all.

        Of the first `num_rows` only; and with a vector in a table. Raises `SearchError`.
        """
        live = self._live_rows.mask(table)
        key = (where, num_rows, id(live))
        if key not in self._masks:
            if len(self._masks) >= _MAX_MASKS:
                self._masks.clear()
            mask, count = live, self._index.manifest.rows
            if num_rows is not None and num_rows < count:
                mask = Mask(np.arange(count) < num_rows) & mask
            if where is not None:
                mask = self._matching(where) & mask
            self._masks[key] = mask
        return self._masks[key]

    def _matching(self, where: str) -> Mask:
        try:
            from curation.sql_filter import filter_clips

            table = filter_clips(self._index.metadata_with_verdicts, where, ["row"])
        except ValueError as error:
            raise SearchError(str(error)) from error
        allowed = np.zeros(self._index.manifest.rows, bool)
        allowed[table["row"].to_numpy()] = True
        return Mask(allowed)

    @cached_property
    def groups(self) -> Ints | None:
        """For each row the row that represents it; None without a selection."""
        if self._index.manifest.verdicts is None:
            return None
        groups = np.arange(self._index.manifest.rows)
        duplicate_of = self._index.metadata_with_verdicts["duplicate_of"]
        duplicates = np.flatnonzero(duplicate_of.is_valid().to_numpy())
        if len(duplicates):
            representatives = self._index.rows_of(duplicate_of.drop_null())
            is_indexed = representatives >= 0
            groups[duplicates[is_indexed]] = representatives[is_indexed]
        return groups


class LiveRows:
    """The rows of one index version that are not deleted; read again when tables change."""

    def __init__(self, dataset: Dataset, index: Index) -> None:
        self._dataset = dataset
        self._index = index
        self._mtimes: dict[str, Any] = {}
        self._live: dict[str, Bools | None] = {}
        self._masks: dict[tuple[int, ...], Mask] = {}
        deleted = index.manifest.deleted
        if deleted is not None:
            live = np.ones(index.manifest.rows, bool)
            live[np.fromfile(index.store.path(deleted), np.int64)] = False
            self._live["deleted"] = live

    def mask(self, embeddings: str | None = None) -> Mask | None:
        """The rows that are not deleted, with a vector in a table if one is named; None for all."""
        tables = ("sources", "clips", *([embeddings] if embeddings else []))
        for name in tables:
            mtime = log_mtime(self._dataset.catalog, name)
            if mtime is None or self._mtimes.get(name) != mtime:
                self._live[name] = self._read(name)
                self._mtimes[name] = mtime
        arrays = [self._live.get(name) for name in ("deleted", *tables)]
        live = [array for array in arrays if array is not None]
        if not live:
            return None
        key = tuple(id(array) for array in live)
        if key not in self._masks:
            self._masks = {key: Mask(np.logical_and.reduce(live))}
        return self._masks[key]

    def _read(self, name: str) -> Bools | None:
        """Whether each row is in a table; None if all files of it that the index read are there."""
        manifest, catalog = self._index.manifest, self._dataset.catalog
        record = Clip if name == "clips" else Embedding
        read = manifest.tables_read.get(name, ReadFiles(()))
        if not NewFiles.of(catalog, name, record, read).is_any_gone:
            return None
        if name.startswith("embeddings/"):
            ids = pc.unique(catalog.read(name, record, ["clip_id"])["clip_id"])
            return _is_in(self._index.metadata["clip_id"], ids)
        return committed_rows(self._dataset, self._index)


def committed_rows(dataset: Dataset, index: Index) -> Bools:
    """Whether the clip of each row and its source are in the tables."""
    sources = dataset.sources().filter(pc.field("outcome") == "scanned")["source_id"]
    ids = dataset.catalog.read("clips", Clip, ["clip_id"])["clip_id"]
    table = index.metadata
    return _is_in(table["source_id"], pc.unique(sources)) & _is_in(table["clip_id"], ids)


def _is_in(column: Any, values: Any) -> Bools:
    return np.asarray(pc.is_in(column, values).cast(pa.uint8()).to_numpy(), bool)


def log_mtime(catalog: Catalog, name: str) -> Any:
    """Changes whenever a table does; None where the table has to be read.

    A commit adds a file to the log's folder. On S3 the version is read.
    """
    storage = catalog.storage
    if storage.is_remote:
        return catalog.version(name)
    try:
        mtime_ns = os.stat(storage.uri(f"{name}/_delta_log")).st_mtime_ns
    except FileNotFoundError:
        return 0
    return mtime_ns if time.time_ns() - mtime_ns > _MTIME_RESOLUTION_S * 1e9 else None
