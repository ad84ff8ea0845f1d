"""Thumbnails of clips, without reading those of others.

The table is large and in no useful order. Its column of ids is read once, which gives the row group
of every clip; a thumbnail then costs one row group, and the recent ones are cached for neighbours.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.catalog import Catalog
from curation.data_file import open_parquet
from curation.scan.collector import THUMBNAILS
from curation.storage import storage_faults

_MAX_BYTES = 64 << 20
"""Of cached row groups."""


class Thumbnails:
    """The thumbnails of one output, as its tables are now. Thread-safe."""

    def __init__(self, catalog: Catalog) -> None:
        self._storage = catalog.storage
        self._groups: list[tuple[str, int]] = []
        """File and number of each row group."""
        self._cache: OrderedDict[int, pa.ChunkedArray] = OrderedDict()
        self._lock = threading.Lock()
        ids, groups, rows = [np.zeros(0, "S64")], [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
        for file, _ in catalog.files(THUMBNAILS):
            with storage_faults(f"{THUMBNAILS}/{file}"), self._open(file) as parquet:
                for number in range(parquet.num_row_groups):
                    column = parquet.read_row_group(number, columns=["clip_id"])["clip_id"]
                    ids.append(np.array(column.to_pylist(), "S64"))
                    groups.append(np.full(len(column), len(self._groups), np.int32))
                    rows.append(np.arange(len(column), dtype=np.int32))
                    self._groups.append((file, number))
        all_ids = np.concatenate(ids)
        order = np.argsort(all_ids, kind="stable")
        self._ids = all_ids[order]
        self._positions = np.stack([np.concatenate(groups), np.concatenate(rows)])[:, order]
        """Row group and row of each id."""

    def jpeg(self, clip_id: str) -> bytes | None:
        """The thumbnail of a clip; None if there is none."""
        key = np.bytes_(clip_id)
        index = int(np.searchsorted(self._ids, key))
        if index == len(self._ids) or self._ids[index] != key:
            return None
        group, row = (int(number) for number in self._positions[:, index])
        return cast(bytes | None, self._read_group(group)[row].as_py())

    def _read_group(self, group: int) -> pa.ChunkedArray:
        with self._lock:
            if group in self._cache:
                self._cache.move_to_end(group)
                return self._cache[group]
        file, number = self._groups[group]
        with storage_faults(f"{THUMBNAILS}/{file}"), self._open(file) as parquet:
            column = parquet.read_row_group(number, columns=["jpeg"])["jpeg"]
        with self._lock:
            self._cache[group] = column
            while len(self._cache) > 1 and sum(c.nbytes for c in self._cache.values()) > _MAX_BYTES:
                self._cache.popitem(last=False)
        return column

    def _open(self, file: str) -> pq.ParquetFile:
        path = self._storage.path(f"{THUMBNAILS}/{file}")
        return open_parquet(self._storage.filesystem.open_input_file(path), path)
