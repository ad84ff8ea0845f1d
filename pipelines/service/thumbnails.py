"""Small pictures of clips, found without reading the others.

A table of pictures is large, and its clips lie in it in no order that helps. So where each clip
lies is learned once, from the column of ids alone. Then a picture costs the group of rows that it
lies in, and those that were read last are kept for its neighbours.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.catalog import Catalog
from curation.scan.collector import THUMBNAILS
from curation.storage import storage_faults

_MOST_BYTES = 64 << 20
"""Of groups of rows that are kept."""


class Thumbnails:
    """The pictures of one output, as its tables were when this was made. Threads may share it."""

    def __init__(self, catalog: Catalog) -> None:
        self._storage = catalog.storage
        self._groups: list[tuple[str, int]] = []
        """File and number of each group of rows."""
        self._held: OrderedDict[int, pa.ChunkedArray] = OrderedDict()
        self._turn = threading.Lock()
        ids, groups, rows = [np.zeros(0, "S64")], [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
        for file, _ in catalog.files(THUMBNAILS):
            with storage_faults(), self._opened(file) as opened:
                for number in range(opened.num_row_groups):
                    found = opened.read_row_group(number, columns=["clip_id"])["clip_id"]
                    ids.append(np.array(found.to_pylist(), "S64"))
                    groups.append(np.full(len(found), len(self._groups), np.int32))
                    rows.append(np.arange(len(found), dtype=np.int32))
                    self._groups.append((file, number))
        known = np.concatenate(ids)
        order = np.argsort(known, kind="stable")
        self._ids = known[order]
        self._at = np.stack([np.concatenate(groups), np.concatenate(rows)])[:, order]

    def jpeg(self, clip_id: str) -> bytes | None:
        """The picture of a clip; None if there is none."""
        wanted = np.bytes_(clip_id)
        place = int(np.searchsorted(self._ids, wanted))
        if place == len(self._ids) or self._ids[place] != wanted:
            return None
        group, row = (int(number) for number in self._at[:, place])
        found: bytes | None = self._pictures(group)[row].as_py()
        return found

    def _pictures(self, group: int) -> pa.ChunkedArray:
        with self._turn:
            if group in self._held:
                self._held.move_to_end(group)
                return self._held[group]
        file, number = self._groups[group]
        with storage_faults(), self._opened(file) as opened:
            found = opened.read_row_group(number, columns=["jpeg"])["jpeg"]
        with self._turn:
            self._held[group] = found
            while len(self._held) > 1 and sum(c.nbytes for c in self._held.values()) > _MOST_BYTES:
                self._held.popitem(last=False)
        return found

    def _opened(self, file: str) -> pq.ParquetFile:
        place = self._storage.path(f"{THUMBNAILS}/{file}")
        return pq.ParquetFile(self._storage.filesystem.open_input_file(place))
