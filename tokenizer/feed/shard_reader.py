"""Reading row groups of shards: first the bytes, then what they mean.

Bytes that cannot be had are a fault of the surroundings: they are asked for again after growing
pauses, and then an `EnvironmentFaultError`. Bytes that make no sense are a `BadShardError` that
names file and row group. From a local disk Arrow reads what it decodes; from an object store the
ranges of the wanted columns are fetched whole, through a cache on disk where there is one.
"""

from __future__ import annotations

import functools
import io
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import InfrastructureError
from curation.storage import Storage, plain
from tokenizer.feed.disk import DiskCache
from tokenizer.feed.indexer import BadShardError

T = TypeVar("T")

_OPEN_FILES = 512
_FOOTER_BYTES = 1 << 16
_GAP_BYTES = 1 << 18
"""Ranges this near to each other are fetched as one."""


@dataclass(frozen=True)
class Retry:
    """How patiently storage is asked."""

    attempts: int = 6
    """Times in all."""
    first_pause_s: float = 0.1
    """Pause after the first failure; it triples each time, and varies by half."""

    def __call__(self, path: str, call: Callable[[], T]) -> T:
        """What the call returns, which reads from `path`."""
        for attempt in range(1, self.attempts + 1):
            try:
                return call()
            except FileNotFoundError as error:
                raise BadShardError(
                    f"{path} is gone, which the table names: was an old version vacuumed?"
                ) from error
            except OSError as error:
                if attempt == self.attempts:
                    raise InfrastructureError(
                        f"{path} could not be read in {attempt} attempts: {plain(error)}"
                    ) from error
            time.sleep(self.first_pause_s * 3 ** (attempt - 1) * random.uniform(0.5, 1.5))
        raise ValueError(f"{self.attempts} attempts are none")


class Source:
    """The files of one table. Threads may share it; processes may not."""

    def __init__(
        self, storage: Storage, table: str, retry: Retry | None = None,
        cache: DiskCache | None = None,
    ) -> None:  # fmt: skip
        self._storage = storage
        self._table = table
        self._retry = retry or Retry()
        self._cache = cache
        self._handle = functools.lru_cache(_OPEN_FILES)(self._opened)
        self.footer = functools.lru_cache(_OPEN_FILES)(self._footer)
        """The Parquet metadata of a file, given its name and bytes."""

    def read(self, name: str, size: int, group: int, columns: Sequence[str]) -> pa.Table:
        """Some columns of one row group of a file of `size` bytes."""
        metadata = self.footer(name, size)
        where = f"{self._path(name)}, row group {group}"
        if not self._storage.is_s3:
            return self._retry(
                self._path(name), lambda: self._local(name, metadata, group, columns, where)
            )
        wanted = _ranges(metadata, group, columns)
        fetched = _Ranges(size, [(start, self._fetch(name, start, n)) for start, n in wanted])
        return _decoded(pa.PythonFile(fetched, "r"), metadata, group, columns, where)

    def _local(self, name: str, *what: Any) -> pa.Table:
        try:
            return _decoded(self._handle(name), *what)
        except OSError:
            self._handle.cache_clear()  # it may be stale
            raise

    def _path(self, name: str) -> str:
        return self._storage.path(f"{self._table}/{name}")

    def _opened(self, name: str) -> Any:
        return self._storage.filesystem.open_input_file(self._path(name))

    def _footer(self, name: str, size: int) -> Any:
        start = max(0, size - _FOOTER_BYTES)
        tail = self._fetch(name, start, size - start)
        if len(tail) >= 8:
            needed = int.from_bytes(tail[-8:-4].to_pybytes(), "little") + 8
            if len(tail) < needed <= size:
                start = size - needed
                tail = self._fetch(name, start, needed)
        try:
            return pq.read_metadata(pa.PythonFile(_Ranges(size, [(start, tail)]), "r"))
        except (OSError, pa.ArrowException) as error:
            raise BadShardError(f"{self._path(name)}, footer: {plain(error)}") from error

    def _fetch(self, name: str, start: int, length: int) -> Any:
        """Bytes of a file, an Arrow buffer; fewer where the file ends early."""
        key = f"{name} {start} {length}"
        found = self._cache.get(key) if self._cache is not None else None
        if found is None:
            found = self._retry(
                self._path(name), lambda: pa.py_buffer(self._handle(name).read_at(length, start))
            )
            if self._cache is not None and found.size == length:
                self._cache.put(key, found)
        return found


class _Ranges(io.RawIOBase):
    """A file of which only some ranges are there."""

    def __init__(self, size: int, ranges: Sequence[tuple[int, Any]]) -> None:
        self._size = size
        self._ranges = ranges
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def read(self, n: int = -1) -> Any:
        stop = self._size if n < 0 else self._at + n
        for start, content in self._ranges:
            if start <= self._at <= stop <= start + content.size:
                found = content.slice(self._at - start, stop - self._at)
                self._at = stop
                return found
        raise pa.ArrowInvalid(f"bytes {self._at} to {stop} are not there")


def _ranges(metadata: Any, group: int, columns: Sequence[str]) -> list[tuple[int, int]]:
    """Start and length of the stretches of a file that hold these columns of a row group."""
    row_group = metadata.row_group(group)
    merged: list[tuple[int, int]] = []
    for at in range(metadata.num_columns):
        column = row_group.column(at)
        if column.path_in_schema in columns:
            start = column.data_page_offset
            if column.has_dictionary_page:
                start = min(start, column.dictionary_page_offset)
            first, length = merged[-1] if merged else (start, 0)
            if start - (first + length) > _GAP_BYTES:
                merged.append((start, column.total_compressed_size))
            else:
                merged[-1:] = [(first, start + column.total_compressed_size - first)]
    return merged


def _decoded(
    source: Any, metadata: Any, group: int, columns: Sequence[str], where: str
) -> pa.Table:
    try:
        file = pq.ParquetFile(
            source, metadata=metadata, pre_buffer=False, page_checksum_verification=True
        )
        return file.read_row_group(group, columns=list(columns), use_threads=False)
    except (OSError, pa.ArrowException) as error:
        if getattr(error, "errno", None) is not None:
            raise  # the disk's own word, which has nothing to do with what is written there
        raise BadShardError(f"{where}: {plain(error)}") from error
