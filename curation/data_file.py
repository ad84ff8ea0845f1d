"""Parquet files of tables, in which a flipped bit is an error and never other data.

Each page has a CRC-32. Parquet has none for the footer, which says what the columns are, where they
lie and what their extremes are: its CRC-32 is part of the file's name,

    <first 32 hex digits of the file's sha256>-<CRC-32 of the footer>.parquet

and is compared when a process first opens the file. The sha256 is for `reelmill verify`, which
reads every byte. Files of older outputs and of other writers have other names and are read as they
are.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from curation.storage import Storage

_DIGEST_NAME = re.compile(r"([0-9a-f]{32})(?:-([0-9a-f]{8}))?\.parquet")
_END_BYTES = 8
"""After the footer: its length and the magic number."""
_TAIL_BYTES = 1 << 16
_THREADS = 8
FORMAT = ds.ParquetFileFormat(
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(
        pre_buffer=True, page_checksum_verification=True
    )
)
"""How a dataset of such files is read."""
_checked: set[str] = set()
"""Paths whose footers this process has compared: a name says what the file holds."""


@dataclass(frozen=True)
class NewFile:
    """A file in a table's folder that is not part of the table yet."""

    path: str
    """Relative to the table's folder."""
    size_bytes: int
    rows: int


def parquet_bytes(rows: pa.Table) -> pa.Buffer:
    """Rows as the content of a file."""
    sink = pa.BufferOutputStream()
    texts = [field.name for field in rows.schema if pa.types.is_string(field.type)]
    pq.write_table(
        rows, sink, compression="zstd", compression_level=1, use_dictionary=texts,
        write_page_checksum=True,
    )  # fmt: skip
    return sink.getvalue()


def store_file(content: pa.Buffer, rows: int, storage: Storage, folder: str) -> NewFile:
    """Writes a file of so many rows into a table's folder, whole or not at all.

    What lies there under that name is replaced: its bytes may have changed.
    """
    digest, footer = hashlib.sha256(content).hexdigest(), _footer_of(memoryview(content))
    name = f"{digest[:32]}-{zlib.crc32(footer):08x}.parquet"
    with storage.atomic_write(f"{folder}/{name}") as temporary, open(temporary, "wb") as file:
        file.write(content)
    return NewFile(name, content.size, rows)


def name_digest(name: str) -> str | None:
    """The start of the sha256 that a file's name states; None if it states none."""
    match = _DIGEST_NAME.fullmatch(name)
    return match and match[1]


def check_footer(path: str, tail: Any) -> None:
    """Compares the last bytes of a file with its name; `ArrowInvalid` if they are others.

    `tail` has the whole footer, and may have more before it.
    """
    match = _DIGEST_NAME.fullmatch(path.rsplit("/", 1)[-1])
    if match and match[2] and zlib.crc32(_footer_of(memoryview(tail))) != int(match[2], 16):
        raise pa.ArrowInvalid(f"{path}: its footer is not what was written")


def open_parquet(source: Any, path: str) -> pq.ParquetFile:
    """An open file, read with checksums. Raises `OSError` or `ArrowException` for damage."""
    _check_source(source, path)
    return pq.ParquetFile(source, page_checksum_verification=True)


def check_footers(storage: Storage, folder: str, names: Iterable[str]) -> None:
    """Compares the footers of files that this process has not read yet.

    Raises `OSError`, or `ArrowInvalid` with the path of a damaged file.
    """
    paths = [storage.path(f"{folder}/{name}") for name in names if _DIGEST_NAME.fullmatch(name)]
    new = [path for path in paths if path not in _checked]
    if not new:
        return
    filesystem = storage.filesystem

    def check(path: str) -> None:
        with filesystem.open_input_file(path) as source:
            _check_source(source, path)

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(check, new))
    _checked.update(new)


def _check_source(source: Any, path: str) -> None:
    size = source.size()
    tail = source.read_at(min(size, _TAIL_BYTES), max(0, size - _TAIL_BYTES))
    length = _footer_length(memoryview(tail))
    if len(tail) < length <= size:
        tail = source.read_at(length, size - length)
    check_footer(path, tail)


def _footer_length(tail: memoryview) -> int:
    return int.from_bytes(tail[-_END_BYTES:][:4], "little") + _END_BYTES


def _footer_of(tail: memoryview) -> memoryview:
    return tail[-_footer_length(tail) :]
