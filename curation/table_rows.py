"""Rows of a table's files: written, and read with checksums.

A file that the log states to hold no row that is looked for is not opened.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow import fs

from curation import records
from curation.commit_log import TableFile
from curation.data_file import (
    FORMAT,
    Layout,
    NewFile,
    check_footers,
    parquet_bytes,
    store_file,
)
from curation.storage import Storage, one_line

_FILE_BYTES = 512 << 20
"""Most bytes in memory of the rows that one file gets."""
_ONE_BY_ONE = {"fragment_readahead": 1, "batch_readahead": 2}
"""How files with pictures or vectors are read: few at a time, as each may take 100 MB."""
_NONCE = b"reelmill"
"""Metadata by which older versions made names unique."""


def write_rows(storage: Storage, name: str, record: type, rows: pa.Table) -> list[NewFile]:
    """Writes rows into a table's folder; they are no part of the table yet."""
    form = records.arrow_schema(record)
    rows = rows.select(form.names).cast(form)
    step = max(1, -(-len(rows) // max(1, math.ceil(rows.nbytes / _FILE_BYTES))))
    parts = (rows.slice(start, step) for start in range(0, len(rows), step))
    return [store_file(parquet_bytes(part), len(part), storage, name) for part in parts]


def write_alike(
    storage: Storage, name: str, rows: pa.Table, fragments: Sequence[ds.Fragment]
) -> NewFile:
    """Writes one file of rows as their files, which agree in their metadata, have stored them.

    Files that state something of their rows, such as the tokenizer, have a layout of their own.
    """
    metadata = file_metadata(fragments[0])
    layout = _layout(fragments, rows.schema) if metadata else None
    content = parquet_bytes(rows.replace_schema_metadata(metadata), layout)
    return store_file(content, len(rows), storage, name)


def file_metadata(fragment: ds.Fragment) -> dict[bytes, bytes]:
    """What a file states of its rows in common."""
    metadata = fragment.physical_schema.metadata or {}
    return {key: value for key, value in metadata.items() if key != _NONCE}


def _layout(fragments: Sequence[ds.Fragment], schema: pa.Schema) -> Layout | None:
    """How the first of some files that has rows stores the columns of a schema."""
    for fragment in fragments:
        fragment.ensure_complete_metadata()
        if fragment.metadata.num_rows:
            return Layout.of_file(fragment.metadata, schema)
    return None


def files_dataset(
    storage: Storage,
    name: str,
    schema: pa.Schema,
    files: Sequence[TableFile],
    where: pc.Expression | None = None,
) -> ds.Dataset:
    """The rows of a table's files, without files that hold none for which a condition holds.

    They are read with checksums and through Arrow's own filesystem. The Delta library's default is
    one in Python, whose calls from Arrow's threads abort the interpreter now and then while it
    ends. Raises `OSError` or `ArrowException`.
    """
    folder = fs.SubTreeFileSystem(storage.path(name), storage.filesystem)
    fragments = [FORMAT.make_fragment(f.path, folder, _bounds(f)) for f in files]
    stored = ds.FileSystemDataset(fragments, schema, FORMAT, folder)
    if where is not None:
        fragments = list(stored.get_fragments(where))
        stored = ds.FileSystemDataset(fragments, schema, FORMAT, folder)
    check_footers(storage, name, [fragment.path for fragment in fragments])
    return stored


def _bounds(file: TableFile) -> pc.Expression | None:
    """What holds for each row of a file, as far as the log states it."""
    bounds = None
    for column, low, high in file.extremes:
        bound = (pc.field(column) >= low) & (pc.field(column) <= high)
        bounds = bound if bounds is None else bounds & bound
    return bounds


def filter_rows(
    stored: ds.Dataset, columns: list[str], where: pc.Expression | None = None
) -> pa.Table:
    """Rows for which a condition holds; an error names the file that cannot be read."""
    has_bytes = any(pa.types.is_binary(stored.schema.field(name).type) for name in columns)
    try:
        if not has_bytes:
            return stored.to_table(columns=columns, filter=where)
        if where is None:
            return stored.to_table(columns=columns, **_ONE_BY_ONE)
        return _rows_with_bytes(stored, columns, where)
    except (OSError, pa.ArrowException):
        parts = [
            fragment_rows(fragment, stored.schema, columns, where)
            for fragment in stored.get_fragments(where)
        ]
        return pa.concat_tables([stored.schema.empty_table().select(columns), *parts])


def _rows_with_bytes(stored: ds.Dataset, columns: list[str], where: pc.Expression) -> pa.Table:
    """Rows for which a condition holds; no picture or vector is read of row groups without one."""
    schema = stored.schema
    groups = (
        group
        for fragment in stored.get_fragments(where)
        for group in fragment.split_by_row_group(where, schema)
        if group.count_rows(where)
    )
    rows = [group.to_table(schema, columns=columns, filter=where) for group in groups]
    return pa.concat_tables([schema.empty_table().select(columns), *rows])


def fragment_rows(
    fragment: ds.Fragment, schema: pa.Schema, columns: list[str], where: pc.Expression | None
) -> pa.Table:
    """Rows of one file.

    Where the Delta library has dropped rows of a file, as it did in older versions, it has written
    the others with columns of view types, on which Arrow compares nothing (apache/arrow#49368):
    such a file is read before its rows are filtered, and its columns are those of the table again.
    """
    try:
        return fragment.to_table(schema, columns=columns, filter=where)
    except pa.ArrowNotImplementedError:
        return fragment.to_table(schema).filter(where).select(columns)
    except (OSError, pa.ArrowException) as error:
        raise pa.ArrowInvalid(f"{fragment.path}: {one_line(error)}") from error
