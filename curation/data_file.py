"""Parquet files of tables, in which a flipped bit is an error and never other data.

Each page has a CRC-32. Parquet has none for the footer, which says what the columns are, where they
lie and what their extremes are: its CRC-32 is part of the file's name,

    <first 32 hex digits of the file's sha256>-<CRC-32 of the footer>-<8 random digits>.parquet

and is compared when a process first opens the file. The sha256 is for `reelmill verify`, which
reads every byte. By the random digits no name is used twice, so that what is removed by its name is
never what was written again. Older outputs have names without them; files of other writers have
other names and are read as they are.

Row groups have up to 3 MB, so that the rows of one clip cost little where a file is sorted by clip.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from curation.storage import Storage

_DIGEST_NAME = re.compile(r"([0-9a-f]{32})(?:-([0-9a-f]{8}))?(?:-[0-9a-f]{8})?\.parquet")
_END_BYTES = 8
"""After the footer: its length and the magic number."""
_TAIL_BYTES = 1 << 16
_THREADS = 8
GROUP_BYTES = 3_000_000
"""Most bytes of a row group in memory, if it has several rows."""
_MAX_GROUP_ROWS = 1 << 17
ID_COLUMNS = ("selection_id", "subset_id", "clip_id", "source_id", "uri")
"""Columns that rows are found by, in the order by which files are sorted."""
_DISTINCT = {"clip_id", "neighbour_id", "source_id", "uri"}
"""Texts of which few are equal: without a dictionary they are read in half of the time."""
_MAX_STATED = 128
"""Characters of an extreme that a table's log states; longer ones are left out."""
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
    extremes: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Least and greatest value of the id columns that have no null."""


@dataclass(frozen=True)
class Layout:
    """How the columns of a file are stored, by their paths."""

    compression: dict[str, str] | str
    dictionary: list[str]
    statistics: list[str] | bool = True

    @classmethod
    def of_rows(cls, schema: pa.Schema) -> Layout:
        """The one for rows of tables."""
        texts = [field.name for field in schema if pa.types.is_string(field.type)]
        return cls("zstd", [name for name in texts if name not in _DISTINCT])

    @classmethod
    def of_file(cls, file: pq.FileMetaData, schema: pa.Schema) -> Layout:
        """That of a file with rows; columns of the schema that came later are small ones."""
        columns = [file.row_group(0).column(number) for number in range(file.num_columns)]
        codecs = {c.path_in_schema: _CODECS.get(c.compression, c.compression) for c in columns}
        later = [field for field in schema if field.name not in codecs]
        return cls(
            codecs | {field.name: "ZSTD" for field in later},
            [c.path_in_schema for c in columns if c.has_dictionary_page],
            [c.path_in_schema for c in columns if c.is_stats_set]
            + [field.name for field in later if not pa.types.is_binary(field.type)],
        )


_CODECS = {"UNCOMPRESSED": "NONE"}
"""Names that Parquet's metadata has for codecs, and Arrow's for the same."""


def parquet_bytes(rows: pa.Table, layout: Layout | None = None) -> pa.Buffer:
    """Rows as the content of a file."""
    sink = pa.BufferOutputStream()
    layout = layout or Layout.of_rows(rows.schema)
    codecs = layout.compression if isinstance(layout.compression, dict) else {}
    pq.write_table(
        rows, sink, compression=layout.compression, use_dictionary=layout.dictionary,
        compression_level={path: 1 for path, c in codecs.items() if c == "ZSTD"} if codecs else 1,
        write_statistics=layout.statistics, write_page_checksum=True,
        row_group_size=max(1, min(_MAX_GROUP_ROWS, GROUP_BYTES * len(rows) // (rows.nbytes or 1))),
    )  # fmt: skip
    return sink.getvalue()


def store_file(content: pa.Buffer, rows: int, storage: Storage, folder: str) -> NewFile:
    """Writes a file of so many rows into a table's folder, whole or not at all.

    The same content, stored twice, makes two files.
    """
    digest, footer = hashlib.sha256(content).hexdigest(), _footer_of(memoryview(content))
    name = f"{digest[:32]}-{zlib.crc32(footer):08x}-{secrets.token_hex(4)}.parquet"
    with storage.atomic_write(f"{folder}/{name}") as temporary, open(temporary, "wb") as file:
        file.write(content)
    return NewFile(name, content.size, rows, _extremes(pq.read_metadata(pa.BufferReader(content))))


def _extremes(file: pq.FileMetaData) -> dict[str, tuple[str, str]]:
    """Least and greatest value of the id columns, as far as the footer states them for all rows."""
    columns = {file.schema.column(n).path: n for n in range(file.num_columns)}
    extremes = {}
    for name in [name for name in ID_COLUMNS if name in columns]:
        groups = [
            file.row_group(group).column(columns[name]).statistics
            for group in range(file.num_row_groups)
        ]
        if not groups or any(g is None or not g.has_min_max or g.null_count for g in groups):
            continue
        low, high = min(g.min for g in groups), max(g.max for g in groups)
        if isinstance(low, str) and max(len(low), len(high)) <= _MAX_STATED:
            extremes[name] = (low, high)
    return extremes


def name_digest(name: str) -> str | None:
    """The start of the sha256 that a file's name states; None if it states none."""
    match = _DIGEST_NAME.fullmatch(name)
    return match and match[1]


def content_name(name: str) -> str:
    """A file's name without its random digits: the same for the same content."""
    match = _DIGEST_NAME.fullmatch(name)
    return name if match is None else "-".join(filter(None, match.groups())) + ".parquet"


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
