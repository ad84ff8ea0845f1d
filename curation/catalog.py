"""The tables of one output folder: what they hold, and who may write to them.

Every table is a Delta table (Parquet files and an atomic log) that only grows. Where one result
spans several tables, the table whose rows are the commit marker is written last; rows of the others
without such a marker are invisible, and dropped when the next writer (`curation.table_writer`)
starts.
"""

from __future__ import annotations

import contextlib
import random
import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, Transaction
from deltalake.exceptions import DeltaError, TableNotFoundError
from pyarrow import fs

from curation import compaction, records
from curation.commit_log import (
    AFTER_COMMIT,
    TableFile,
    check_log,
    commit_columns,
    commit_files,
    committing,
    followed,
    has_same_rows,
    is_conflict,
    read_change,
    table_files,
)
from curation.delta_table import (
    ATTEMPTS,
    MERGE_FAULTS,
    PAUSE_S,
    CreatedFirstError,
    StaleWriterError,
    VersionGoneError,
    arrow_schema,
    lacking_columns,
    storage_faults,
)
from curation.errors import InfrastructureError
from curation.lease import hold_lease
from curation.output_location import check_address, check_free_space
from curation.storage import AddressError, Storage
from curation.table_rows import files_dataset, filter_rows, write_rows
from curation.table_writer import Writer

NOT_FOUND = fs.FileType.NotFound
_TABLE_NAME = re.compile(r"[^/.\\][^/\\]*(/[^/.\\][^/\\]*)*")
"""Folders below the output: no part is empty, `.` or `..`."""


class Catalog:
    """Reads the tables under one storage, and opens writers."""

    def __init__(self, storage: Storage) -> None:
        """Raises `AddressError` where no tables can be written."""
        check_address(storage)
        self.storage = storage
        self._snapshot: dict[str, DeltaTable | None] | None = None

    def snapshot(self) -> Catalog:
        """The same tables, each opened once and kept at that version, but for its own commits."""
        catalog = Catalog(self.storage)
        catalog._snapshot = {}
        return catalog

    def open(self, name: str, version: int | None = None) -> DeltaTable | None:
        """The table as it is now, or was at a version, or None if it does not exist.

        Raises `VersionGoneError` for a version that it once had.
        """
        if version is None and self._snapshot is not None:
            if name not in self._snapshot:
                self._snapshot[name] = self._load(name, None)
            return self._snapshot[name]
        return self._load(name, version)

    def reopen(self, name: str, version: int) -> DeltaTable | None:
        """The table as it is now, also for a snapshot; None if it has other rows than at a version.

        At version −1 it has none.
        """
        table = self._load(name, None)
        with storage_faults(name):
            if table is None or not has_same_rows(self.storage, name, version, table.version()):
                return None
        if self._snapshot is not None:
            self._snapshot[name] = table
        return table

    def _load(self, name: str, version: int | None) -> DeltaTable | None:
        if not _TABLE_NAME.fullmatch(name):
            raise AddressError(f"{name!r} is no name of a table")
        with storage_faults(name):
            try:
                table = DeltaTable(
                    self.storage.table_uri(name),
                    version,
                    storage_options=self.storage.delta_options,
                )
            except DeltaError as error:
                if version is not None and self._is_gone(name, version):
                    raise VersionGoneError(
                        f"{self.storage.uri(name)} no longer has version {version}: `reelmill gc`"
                        " has removed it"
                    ) from error
                if isinstance(error, TableNotFoundError):
                    return None
                raise
            check_log(self.storage, name, table)
            return table

    def _is_gone(self, name: str, version: int) -> bool:
        """Whether a table had a version once: a newer one is there, and the log lacks its entry."""
        newest = self._load(name, None)
        is_older = newest is not None and 0 <= version < newest.version()
        return is_older and read_change(self.storage, name, version) is None

    def version(self, name: str) -> int:
        """The table's version, or −1 if it does not exist."""
        table = self.open(name)
        return -1 if table is None else int(table.version())

    def read(
        self,
        name: str,
        record: type,
        columns: list[str] | None = None,
        where: pc.Expression | None = None,
    ) -> pa.Table:
        """Rows of a table in its record's schema; none if the table does not exist.

        A column that the record got after the table was made is null.
        """
        form = records.arrow_schema(record)
        schema = pa.schema([form.field(c) for c in columns]) if columns is not None else form
        table = self.open(name)
        if table is None:
            return schema.empty_table()
        with storage_faults(name):
            has = arrow_schema(table)
            lacking = [field for field in form if field.name not in has.names]
            all_columns = pa.schema([*has, *lacking])
            stored = files_dataset(self.storage, name, all_columns, table_files(table), where)
            return filter_rows(stored, schema.names, where).cast(schema)

    def files(self, name: str, version: int | None = None) -> list[tuple[str, int]]:
        """The table's Parquet files, relative to its folder and sorted, and their bytes."""
        table = self.open(name, version)
        if table is None:
            return []
        with storage_faults(name):
            return [(file.path, file.size_bytes) for file in table_files(table)]

    def followed(self, name: str, paths: Collection[str]) -> set[str]:
        """Files that an older version of a table had, after merges of these alone."""
        table = self.open(name)
        if table is None or not paths:
            return set(paths)
        with storage_faults(name):
            return followed(self.storage, name, table, set(paths))

    def rows(self, name: str) -> int | None:
        """How many rows the table's log says it has; None if it does not say."""
        table = self.open(name)
        if table is None:
            return 0
        with storage_faults(name):
            files = table_files(table)
        counts = [file.rows for file in files if file.rows is not None]
        return sum(counts) if len(counts) == len(files) else None

    def values(self, name: str, record: type, column: str) -> set[Any]:
        """The distinct values of one column."""
        return set(pc.unique(self.read(name, record, [column])[column]).to_pylist())

    def names(self, prefix: str) -> list[str]:
        """Tables whose name starts with the prefix and a slash, such as `scores/…`.

        They are told by their logs; none is opened.
        """
        selector = fs.FileSelector(self.storage.path(prefix), allow_not_found=True)
        with storage_faults(prefix):
            folders = self.storage.filesystem.get_file_info(selector)
            return self._with_logs(sorted(f"{prefix}/{folder.base_name}" for folder in folders))

    def table_names(self) -> list[str]:
        """All tables of the output, sorted; they are told by their logs."""
        selector = fs.FileSelector(self.storage.path(""), allow_not_found=True)
        with storage_faults(self.storage.root):
            folders = self.storage.filesystem.get_file_info(selector)
            names = [f.base_name for f in folders if f.type == fs.FileType.Directory]
            tables = self._with_logs(names)
        for name in {*names} - {*tables}:
            tables += self.names(name) if _TABLE_NAME.fullmatch(name) else []
        return sorted(tables)

    def _with_logs(self, names: Sequence[str]) -> list[str]:
        """Those of some folders that are tables, as far as their logs tell.

        The first entry of a log is there, or a checkpoint where it has been removed. Where a run
        was killed there may be less.
        """
        starts = (f"{0:020}.json", "_last_checkpoint")
        paths = [
            self.storage.path(f"{name}/_delta_log/{file}") for name in names for file in starts
        ]
        files = self.storage.filesystem.get_file_info(paths)
        tables = [path for path, file in zip(paths, files, strict=True) if file.type != NOT_FOUND]
        found = {path.rsplit("/_delta_log/", 1)[0] for path in tables}
        return [name for name in names if self.storage.path(name) in found]

    def append(
        self, name: str, record: type, rows: pa.Table, *, only_unchanged: bool = False
    ) -> None:
        """Appends rows that stand for themselves, whoever else writes to the table.

        With `only_unchanged`, raises `StaleWriterError` where another run has committed to the
        table since it was opened.
        """
        check_free_space(self.storage, rows.nbytes)
        is_new = self.open(name) is None
        table = self.create(name, record)
        with storage_faults(name):
            if only_unchanged and is_new and table_files(table):
                raise CreatedFirstError(f"another run created {name} first")
            new = write_rows(self.storage, name, record, rows)
            for attempt in range(ATTEMPTS):
                if not only_unchanged:
                    table.update_incremental()
                try:
                    if columns := lacking_columns(table, record):
                        commit_columns(self.storage, name, table, columns)
                    files = commit_files(self.storage, name, table, new)
                    break
                except DeltaError as error:
                    if attempt == ATTEMPTS - 1 or not is_conflict(error):
                        raise
                    if only_unchanged:
                        raise StaleWriterError(f"another run committed to {name} first") from error
                time.sleep(random.uniform(0, PAUSE_S))
        with contextlib.suppress(*MERGE_FAULTS):
            if chosen := compaction.overdue(files):
                self._merge(name, table, chosen)

    def compact(self, name: str) -> tuple[int, int]:
        """Merges all small files of a table; returns how many it had, and how many it has.

        Beside other writers: of what one of them removes meanwhile nothing is merged.
        """
        table = self._load(name, None)
        if table is None:
            return 0, 0
        with storage_faults(name):
            files = table_files(table)
            for batch in compaction.batches(files):
                self._merge(name, table, batch)
            count = len(table_files(table))
            if count < len(files):
                table.create_checkpoint()
        return len(files), count

    def _merge(self, name: str, table: DeltaTable, files: Sequence[TableFile]) -> None:
        """Merges files of a table, unless another writer removes one of them first."""
        new, old = compaction.merge(self.storage, name, arrow_schema(table), files)
        for _ in range(ATTEMPTS):
            if not old or not old <= {file.path for file in table_files(table)}:
                return
            try:
                commit_files(self.storage, name, table, new, remove=old, changes_rows=False)
                return
            except DeltaError as error:
                if not is_conflict(error):
                    raise
            table.update_incremental()
            time.sleep(random.uniform(0, PAUSE_S))

    def create(
        self, name: str, record: type, transactions: Sequence[Transaction] = ()
    ) -> DeltaTable:
        """The table: created, empty, if it does not exist.

        With transactions, which go with the commit that creates it, raises `StaleWriterError` where
        another run creates it first.
        """
        check_free_space(self.storage)
        table = self.open(name)
        if table is not None:
            return table
        with storage_faults(name):
            try:
                with committing(self.storage, name, 0, [], transactions) as properties:
                    table = DeltaTable.create(
                        self.storage.table_uri(name),
                        records.arrow_schema(record),
                        storage_options=self.storage.delta_options,
                        raise_if_key_not_exists=False,
                        commit_properties=properties,
                        post_commithook_properties=AFTER_COMMIT,
                    )
            except DeltaError as error:
                if not (is_conflict(error) or "already exists" in str(error)):
                    raise
                if transactions:
                    raise CreatedFirstError(f"another run created {name} first") from error
        table = table or self._load(name, None)
        if table is None:
            raise InfrastructureError(f"{name} was created, and is not there")
        if self._snapshot is not None:
            self._snapshot[name] = table
        return table

    @contextlib.contextmanager
    def lease(self, app: str, tables: Mapping[str, type]) -> Iterator[Writer]:
        """A writer for this run of `app` that has not acquired its tables yet.

        Raises `LeaseHeldError` while another run of `app` holds one of them.
        """
        with hold_lease(self.storage, app, tables):
            yield Writer(self, app, tables)

    @contextlib.contextmanager
    def writer(self, app: str, tables: Mapping[str, type]) -> Iterator[Writer]:
        """A writer that has acquired its tables, which are created where they do not exist."""
        with self.lease(app, tables) as writer:
            writer.acquire()
            yield writer
