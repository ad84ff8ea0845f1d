"""A run's writer: it acquires tables, and commits to them until another run does.

To acquire a table is to raise its transaction number under one's own application id. A commit
succeeds only if no other writer has acquired the table since, so of two drivers the stale one
loses; one that starts while the other lives is refused earlier (`curation.lease`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, Transaction
from deltalake.exceptions import DeltaError

from curation import compaction
from curation.commit_log import (
    TableFile,
    commit_columns,
    commit_files,
    has_same_rows,
    is_conflict,
    table_files,
)
from curation.data_file import NewFile
from curation.delta_table import (
    ATTEMPTS,
    MERGE_FAULTS,
    CreatedFirstError,
    StaleWriterError,
    arrow_dataset,
    arrow_schema,
    lacking_columns,
    storage_faults,
)
from curation.output_location import check_free_space
from curation.storage import Storage, one_line
from curation.table_rows import fragment_rows, write_alike, write_rows

_Exchange = tuple[Sequence[NewFile], Collection[str]]
"""Files that become part of a table, and paths of those that no longer are."""


class Tables(Protocol):
    """What a writer needs of a `Catalog`."""

    storage: Storage

    def open(self, name: str) -> DeltaTable | None:
        """See `Catalog`."""

    def reopen(self, name: str, version: int) -> DeltaTable | None:
        """See `Catalog`."""

    def create(self, name: str, record: type, transactions: Sequence[Transaction]) -> DeltaTable:
        """See `Catalog`."""


class Writer:
    """Appends to tables that it has acquired."""

    def __init__(self, catalog: Tables, app: str, tables: Mapping[str, type]) -> None:
        self._catalog = catalog
        self._storage = catalog.storage
        self._app = f"reelmill/{app}"
        self._records = dict(tables)
        self._tables: dict[str, DeltaTable] = {}
        self._numbers: dict[str, int] = {}
        self._unmerged: set[str] = set()
        """Tables whose files could not be merged."""

    def acquire(self) -> None:
        """Fences off every other writer of `app`: one commit a table.

        It creates the table, or adds the columns that it lacks, where need be. Raises
        `StaleWriterError` where another run has changed a table since the catalog has read it. Of
        runs that acquire at the same time the one that was last to acquire the first table wins.
        """
        check_free_space(self._storage)
        for name, record in self._records.items():
            table = self._catalog.open(name)
            if table is None:
                try:
                    with self._committing(name) as transactions:
                        self._tables[name] = self._catalog.create(name, record, transactions)
                    continue
                except CreatedFirstError:
                    table = self._catalog.reopen(name, -1)
                    if table is None:
                        raise
            self._acquire(name, record, table)

    def _acquire(self, name: str, record: type, table: DeltaTable) -> None:
        """Acquires a table, also where another run has acquired it since, and done no more."""
        first, version = next(iter(self._records)), table.version()
        for _ in range(ATTEMPTS):
            if name != first:
                self._checked(first)
            self._tables[name] = table
            self._numbers[name] = table.transaction_version(self._app) or 0
            try:
                with self._committing(name) as transactions:
                    if columns := lacking_columns(table, record):
                        commit_columns(self._storage, name, table, columns, transactions)
                    else:
                        commit_files(self._storage, name, table, transactions=transactions)
                return
            except StaleWriterError:
                newer = self._catalog.reopen(name, version)
                if newer is None:
                    raise
                table = newer
        raise StaleWriterError(f"other runs acquire {name} all the time; this one stops")

    def append(self, name: str, rows: pa.Table) -> None:
        """Commits rows, all or none."""
        if rows.num_rows:
            check_free_space(self._storage, rows.nbytes)
            with storage_faults(name):
                files = write_rows(self._storage, name, self._records[name], rows)
            self._add(name, files)

    def add_files(self, name: str, files: Iterable[NewFile]) -> None:
        """Commits files that workers wrote."""
        check_free_space(self._storage)
        self._add(name, list(files))

    def _add(self, name: str, new: Sequence[NewFile]) -> None:
        """Commits files, and merges those of the table where too many are small."""
        files = self._commit(name, lambda _: (new, ()))
        chosen = compaction.overdue(files)
        if not chosen or name in self._unmerged:
            return
        self._unmerged.add(name)
        with contextlib.suppress(*MERGE_FAULTS):
            merged = compaction.merge(self._storage, name, arrow_schema(self._tables[name]), chosen)

            def exchanged(table: DeltaTable) -> _Exchange:
                are_there = merged.replaced <= {file.path for file in table_files(table)}
                return merged if are_there else ((), ())

            self._commit(name, exchanged, changes_rows=False)
            if merged.replaced:
                self._unmerged.discard(name)

    def drop(
        self, name: str, column: str, values: set[str], also: pc.Expression | None = None
    ) -> None:
        """Drops rows with these values for which the condition `also` holds.

        For rows without their commit marker, left by a run that was cut short, and for failures
        that are retried.
        """
        if not values:
            return
        is_dropped = pc.field(column).isin(sorted(values))
        if also is not None:
            is_dropped &= also
        is_kept = ~pc.coalesce(is_dropped, pc.scalar(False))

        def without(table: DeltaTable) -> _Exchange:
            files, gone = [], []
            schema = arrow_schema(table)
            for fragment in arrow_dataset(table, self._storage, name, is_dropped).get_fragments():
                if len(fragment_rows(fragment, schema, [column], is_dropped)):
                    gone.append(fragment.path)
                    rows = fragment_rows(fragment, schema, schema.names, is_kept)
                    if len(rows):
                        files.append(write_alike(self._storage, name, rows, [fragment]))
            return files, gone

        self._commit(name, without)

    def _checked(self, name: str, *, newest: bool = True) -> DeltaTable:
        """The table at its newest version, or as it was last seen, which is still this writer's."""
        table = self._tables[name]
        with storage_faults(name):
            if newest:
                table.update_incremental()
        if (table.transaction_version(self._app) or 0) != self._numbers[name]:
            raise StaleWriterError(
                f"another run has acquired {self._storage.uri(name)}; this one stops. "
                "Nothing is lost: start it again when the other has ended."
            )
        return table

    def _commit(
        self, name: str, exchange: Callable[[DeltaTable], _Exchange], *, changes_rows: bool = True
    ) -> list[TableFile]:
        """Commits the files that `exchange` adds to the table and removes, if any.

        It is asked again where others have merged files first; where they have changed rows it
        raises `StaleWriterError`. Returns the files of the table.
        """
        table = self._checked(name, newest=False)
        for _ in range(ATTEMPTS):
            version = table.version()
            with storage_faults(name):
                add, remove = exchange(table)
                if not add and not remove:
                    return table_files(table)
            try:
                with self._committing(name) as transactions:
                    return commit_files(
                        self._storage, name, table, add, remove=remove,
                        transactions=transactions, changes_rows=changes_rows,
                    )  # fmt: skip
            except StaleWriterError:
                table = self._checked(name)
                with storage_faults(name):
                    if not has_same_rows(self._storage, name, version, table.version()):
                        raise
        raise StaleWriterError(f"others commit to {name} all the time; this one stops")

    @contextlib.contextmanager
    def _committing(self, name: str) -> Iterator[list[Transaction]]:
        """The transaction of this writer's next commit to the table, made in this block."""
        number = self._numbers.get(name, 0) + 1
        with storage_faults(name):
            try:
                yield [Transaction(self._app, number)]
            except DeltaError as error:
                if not is_conflict(error):
                    raise
                raise StaleWriterError(
                    f"another run committed to {name} first; this one stops ({one_line(error)})"
                ) from error
        self._numbers[name] = number
