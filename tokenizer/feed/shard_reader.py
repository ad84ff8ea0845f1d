"""Reads row groups of shards: first the bytes, then their content.

Failing storage is an infrastructure error: reads are retried after growing pauses, and then raise
`InfrastructureError`. Bytes that cannot be decoded are a `BadShardError` with file and row group.
From a local disk Arrow reads what it decodes; from an object store the byte ranges of the requested
columns are fetched, through a cache on disk if there is one.
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

from curation.data_file import check_footer
from curation.errors import InfrastructureError
from curation.storage import Storage, one_line
from tokenizer.feed.disk_cache import DiskCache
from tokenizer.feed.errors import BadShardError, FeedError

T = TypeVar("T")

_OPEN_FILES = 512
_FOOTER_BYTES = 1 << 16
_GAP_BYTES = 1 << 18
"""Ranges this near to each other are fetched as one."""


@dataclass(frozen=True)
class Retry:
    """Retries of failed reads."""

    attempts: int = 6
    """In all."""
    first_pause_s: float = 0.1
    """Pause after the first failure; it triples each time, with 50 % jitter."""

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise FeedError(f"retry needs at least one attempt, got {self.attempts}")

    def __call__(self, path: str, call: Callable[[], T]) -> T:
        """The result of the call, which reads from `path`."""
        attempt = 1
        while True:
            try:
                return call()
            except FileNotFoundError as error:
                raise BadShardError.missing(path) from error
            except OSError as error:
                if attempt == self.attempts:
                    raise InfrastructureError(
                        f"{path} could not be read in {attempt} attempts: {one_line(error)}"
                    ) from error
            time.sleep(self.first_pause_s * 3 ** (attempt - 1) * random.uniform(0.5, 1.5))
            attempt += 1


class ShardReader:
    """The files of one table. Threads may share it; processes may not."""

    def __init__(
        self, storage: Storage, table: str, retry: Retry | None = None,
        cache: DiskCache | None = None,
    ) -> None:  # fmt: skip
        self._storage = storage
        self._table = table
        self._retry = retry or Retry()
        self._cache = cache
        self._handle = functools.lru_cache(_OPEN_FILES)(self._open)
        self.footer = functools.lru_cache(_OPEN_FILES)(self._footer)
        """The Parquet metadata of a file by name and size."""

    def read(self, name: str, size: int, group: int, columns: Sequence[str]) -> pa.Table:
        """Some columns of one row group of a file of `size` bytes."""
        metadata, path = self.footer(name, size), self._path(name)
        where = f"{path}, row group {group}"
        if self._storage.is_remote:
            ranges = _column_ranges(metadata, group, columns)
            contents = [(start, self._fetch(name, start, length)) for start, length in ranges]
            file = pa.PythonFile(_RangeFile(size, contents), "r")
            return _decode(file, metadata, group, columns, where)

        def read_local() -> pa.Table:
            try:
                return _decode(self._handle(name), metadata, group, columns, where)
            except OSError:
                self._handle.cache_clear()  # the handle may be stale
                raise

        return self._retry(path, read_local)

    def _path(self, name: str) -> str:
        return self._storage.path(f"{self._table}/{name}")

    def _open(self, name: str) -> Any:
        return self._storage.filesystem.open_input_file(self._path(name))

    def _footer(self, name: str, size: int) -> Any:
        start = max(0, size - _FOOTER_BYTES)
        tail = self._fetch(name, start, size - start)
        if len(tail) >= 8:
            length = int.from_bytes(tail[-8:-4].to_pybytes(), "little") + 8
            if len(tail) < length <= size:
                start = size - length
                tail = self._fetch(name, start, length)
        try:
            check_footer(self._path(name), tail)
            return pq.read_metadata(pa.PythonFile(_RangeFile(size, [(start, tail)]), "r"))
        except (OSError, pa.ArrowException) as error:
            raise BadShardError(f"{self._path(name)}, footer: {one_line(error)}") from error

    def _fetch(self, name: str, start: int, length: int) -> Any:
        """Bytes of a file as an Arrow buffer; fewer if the file ends early."""
        key = f"{name} {start} {length}"
        content = self._cache.get(key) if self._cache is not None else None
        if content is None:
            content = self._retry(
                self._path(name), lambda: pa.py_buffer(self._handle(name).read_at(length, start))
            )
            if self._cache is not None and content.size == length:
                self._cache.put(key, content)
        return content


class _RangeFile(io.RawIOBase):
    """A file of which only some byte ranges are available."""

    def __init__(self, size: int, ranges: Sequence[tuple[int, Any]]) -> None:
        self._size = size
        self._ranges = ranges
        self._offset = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._offset

    def seek(self, offset: int, whence: int = 0) -> int:
        self._offset = offset + (0, self._offset, self._size)[whence]
        return self._offset

    def read(self, n: int = -1) -> Any:
        stop = self._size if n < 0 else self._offset + n
        for start, content in self._ranges:
            if start <= self._offset <= stop <= start + content.size:
                data = content.slice(self._offset - start, stop - self._offset)
                self._offset = stop
                return data
        raise pa.ArrowInvalid(f"bytes {self._offset} to {stop} are missing")


def _column_ranges(metadata: Any, group: int, columns: Sequence[str]) -> list[tuple[int, int]]:
    """Start and length of the byte ranges of these columns of a row group, near ones merged."""
    row_group = metadata.row_group(group)
    merged: list[tuple[int, int]] = []
    for index in range(metadata.num_columns):
        column = row_group.column(index)
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


def _decode(source: Any, metadata: Any, group: int, columns: Sequence[str], where: str) -> pa.Table:
    try:
        file = pq.ParquetFile(
            source, metadata=metadata, pre_buffer=False, page_checksum_verification=True
        )
        return file.read_row_group(group, columns=list(columns), use_threads=False)
    except (OSError, pa.ArrowException) as error:
        if getattr(error, "errno", None) is not None:
            raise  # the storage failed, not the content
        raise BadShardError(f"{where}: {one_line(error)}") from error
