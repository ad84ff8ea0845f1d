"""Few, right-sized files: the small files of a table merged into larger ones, sorted by clip.

A commit makes a file or more, so a table that is filled for weeks has files by the ten thousand.
When more than `MAX_SMALL` of them are small, whoever commits merges the smallest half, and of the
others each that is no larger than those before it together: as in a binary counter, a row is
rewritten about log₂(commits / 16) times at most, until its file has half of `TARGET_BYTES` and is
left alone. `reelmill compact` merges all small files of all tables.

Merged rows are sorted by the id columns. Where they fill several files, each has a range of its
own, so that a lookup of one clip opens one of them and reads one of its row groups. One file is
made at a time: memory is a small multiple of `TARGET_BYTES`.

The log says of such a commit that it changes no row (`curation.commit_log`). Who reads an older
version goes on with its files, which stay until `reelmill gc`. What a merge that was killed has
written is in no version.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from curation.commit_log import TableFile
from curation.data_file import ID_COLUMNS, NewFile
from curation.errors import InfrastructureError
from curation.output_location import check_free_space
from curation.storage import Storage
from curation.table_rows import file_metadata, files_dataset, filter_rows, write_alike

TARGET_BYTES = 128 << 20
"""Of a merged file."""
MAX_SMALL = 32
"""Files below half of that, above which a table is merged: a lookup opens all of them."""
_MAX_AT_ONCE = 2 * TARGET_BYTES
"""Bytes that one merge by a step reads."""
_BATCH_BYTES = 4 * TARGET_BYTES
"""The same of `reelmill compact`."""


def overdue(files: Sequence[TableFile]) -> list[TableFile]:
    """The files that are to be merged now; none while few are small."""
    small = _small(files)
    chosen: list[TableFile] = []
    size_bytes = 0
    for file in small if len(small) > MAX_SMALL else []:
        is_large = len(chosen) >= len(small) // 2 and file.size_bytes > size_bytes
        if is_large or size_bytes + file.size_bytes > _MAX_AT_ONCE:
            break
        chosen.append(file)
        size_bytes += file.size_bytes
    return chosen


def batches(files: Sequence[TableFile]) -> Iterator[list[TableFile]]:
    """All small files, some at a time; none if one is alone."""
    batch: list[TableFile] = []
    for file in _small(files):
        if sum(f.size_bytes for f in batch) + file.size_bytes > _BATCH_BYTES and len(batch) > 1:
            yield batch
            batch = []
        batch.append(file)
    if len(batch) > 1:
        yield batch


def _small(files: Sequence[TableFile]) -> list[TableFile]:
    small = [file for file in files if file.size_bytes < TARGET_BYTES // 2]
    return sorted(small, key=lambda file: (file.size_bytes, file.path))


class Merge(NamedTuple):
    """Files that a merge has written, which are no part of the table yet."""

    files: list[NewFile]
    replaced: frozenset[str]
    """Paths of the files whose rows these have."""


def merge(storage: Storage, name: str, schema: pa.Schema, files: Sequence[TableFile]) -> Merge:
    """Writes the rows of some files of a table into fewer ones.

    Files are merged with those that state the same of their rows, such as the tokenizer; one that
    is alone is left as it is. Raises `OSError` or `ArrowException`, and `InfrastructureError` if
    the disk has no room or the table has other rows than its log states.
    """
    check_free_space(storage, sum(file.size_bytes for file in files))
    written: list[NewFile] = []
    replaced: set[str] = set()
    for group in _by_metadata(storage, name, schema, files):
        if len(group) > 1:
            written += _merge_alike(storage, name, schema, group)
            replaced |= {file.path for file in group}
    return Merge(written, frozenset(replaced))


def _by_metadata(
    storage: Storage, name: str, schema: pa.Schema, files: Sequence[TableFile]
) -> Iterable[list[TableFile]]:
    """The files by what they state of their rows in common."""
    groups: dict[tuple[tuple[bytes, bytes], ...], list[TableFile]] = {}
    stored = files_dataset(storage, name, schema, files)
    for file, fragment in zip(files, stored.get_fragments(), strict=True):
        key = tuple(sorted(file_metadata(fragment).items()))
        groups.setdefault(key, []).append(file)
    return groups.values()


def _merge_alike(
    storage: Storage, name: str, schema: pa.Schema, files: Sequence[TableFile]
) -> list[NewFile]:
    """Files of rows that state the same metadata."""
    stored = files_dataset(storage, name, schema, files)
    fragments = list(stored.get_fragments())
    order = [column for column in (*ID_COLUMNS, "window") if column in schema.names]
    count = math.ceil(sum(file.size_bytes for file in files) / TARGET_BYTES)
    merged = []
    for where in _ranges(stored, order[:2], count):
        rows = filter_rows(stored, schema.names, where)
        rows = rows.sort_by([(column, "ascending") for column in order]) if order else rows
        if len(rows):
            merged.append(write_alike(storage, name, rows, fragments))
    expected, found = sum(file.rows or 0 for file in files), sum(file.rows for file in merged)
    if expected != found and all(file.rows is not None for file in files):
        raise InfrastructureError(
            f"{name}: its log states {expected:,} rows of {len(files)} files, which have {found:,}"
        )
    return merged


def _ranges(
    stored: ds.Dataset, columns: Sequence[str], count: int
) -> Iterator[pc.Expression | None]:
    """Conditions that share rows among so many files, as evenly as equal ids allow."""
    if count < 2 or not columns:
        yield None
        return
    ids = stored.to_table(columns=list(columns))
    ids = ids.sort_by([(column, "ascending") for column in columns])
    rows = sorted({len(ids) * part // count for part in range(1, count)})
    bounds = dict.fromkeys(tuple(ids[c][row].as_py() for c in columns) for row in rows)
    low = None
    for high in [_before(columns, bound) for bound in bounds]:
        yield high if low is None else ~low & high
        low = high
    yield None if low is None else ~low


def _before(columns: Sequence[str], bound: tuple[str | None, ...]) -> pc.Expression:
    """Whether a row is before a bound; nulls come last."""
    (column, *rest), (value, *values) = columns, bound
    field = pc.field(column)
    if value is None:
        return field.is_valid()
    is_before = pc.coalesce(field < value, pc.scalar(False))
    if rest:
        is_equal = pc.coalesce(field == value, pc.scalar(False))
        is_before = is_before | (is_equal & _before(rest, tuple(values)))
    return is_before
