"""Row groups in memory: read by threads ahead of need, kept while they are in use."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Executor, Future

from tokenizer.feed.indexer import SHAPE_COLUMNS, shapes
from tokenizer.feed.row_group import Group
from tokenizer.feed.sample_index import Index
from tokenizer.feed.sequence_window import Cut, Samples
from tokenizer.feed.shard_reader import Source


class Groups:
    """The row groups of one table by file and number."""

    def __init__(
        self, source: Source, index: Index, cut: Cut, columns: Sequence[str], limit_bytes: int
    ) -> None:
        self._source = source
        self._index = index
        self._cut = cut
        self._columns = tuple(dict.fromkeys([*SHAPE_COLUMNS, *columns]))
        self._limit = limit_bytes
        self._held: OrderedDict[tuple[int, int], Future[Group]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, file: int, group: int, pool: Executor) -> Future[Group]:
        """The row group, now or as soon as one of the pool's threads has read it."""
        key = (file, group)
        with self._lock:
            found = self._held.get(key)
            if found is not None and not _failed(found):
                self._held.move_to_end(key)
            else:
                self._held[key] = pool.submit(self._read, key)
            return self._held[key]

    def _read(self, key: tuple[int, int]) -> Group:
        group = self.read(*key)
        with self._lock:
            self._bytes += group.rows.nbytes
            while self._bytes > self._limit and self._drop_oldest(key):
                pass
        return group

    def _drop_oldest(self, newest: tuple[int, int]) -> bool:
        """Forgets the row group that was wanted longest ago; whether there was one to forget."""
        for key, future in self._held.items():
            if key == newest:
                return False
            if future.done():
                del self._held[key]
                self._bytes -= 0 if _failed(future) else future.result().rows.nbytes
                return True
        return False

    def read(self, file: int, group: int) -> Group:
        """Reads the row group here and now."""
        name, size = self._index.paths[file].as_py(), int(self._index.sizes[file])
        rows = self._source.read(name, size, group, self._columns)
        samples = self._cut.samples(shapes(rows))
        if self._index.kept is not None:
            metadata = self._source.footer(name, size)
            first = sum(metadata.row_group(g).num_rows for g in range(group))
            kept = self._index.kept.rows(file, first, first + len(rows))[samples.row]
            samples = Samples(samples.row[kept], samples.first_latent[kept], samples.shape[kept])
        return Group(f"{name}, row group {group}", rows, samples)


def _failed(future: Future[Group]) -> bool:
    return future.cancelled() or (future.done() and future.exception() is not None)
