"""The tables of one output folder: the only code that commits.

Every table is a Delta table (Parquet files and an atomic log) that only grows. A writer first takes
each table it will write to: it raises the table's transaction number under its own application id.
A commit goes through only if nobody has taken the table since, so that of two drivers the stale one
loses; one that starts while the other lives is refused before that (`curation.lease`). Where one
result spans several tables, the table whose rows announce it is written last; rows of the others
without such an announcement are unseen, and dropped when the next writer starts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import CommitProperties, DeltaTable, Schema, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction
from pyarrow import fs

from curation import records
from curation.errors import InfrastructureError
from curation.lease import leased
from curation.output_location import check_room, check_tables
from curation.storage import Storage, plain


class StaleWriterError(InfrastructureError):
    """Another run has taken the table over; this one has to stop."""


@dataclass(frozen=True)
class NewFile:
    """A Parquet file that a worker wrote into a table's folder, not yet part of the table."""

    path: str
    """Relative to the table's folder."""
    size_bytes: int
    rows: int


class Catalog:
    """Reads the tables under one storage, and opens writers."""

    def __init__(self, storage: Storage) -> None:
        """Raises `PlaceError` where no tables can lie."""
        check_tables(storage)
        self.storage = storage

    def open(self, name: str, version: int | None = None) -> DeltaTable | None:
        """The table as it is now, or was at a version, or None if it does not exist."""
        with _storage_faults(name):
            try:
                return DeltaTable(
                    self.storage.table_uri(name),
                    version,
                    storage_options=self.storage.delta_options,
                )
            except TableNotFoundError:
                return None

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
        form = records.schema(record)
        wanted = pa.schema([form.field(c) for c in columns]) if columns is not None else form
        table = self.open(name)
        if table is None:
            return wanted.empty_table()
        with _storage_faults(name):
            stored = arrow_dataset(table, self.storage, name)
            present = [column for column in wanted.names if column in stored.schema.names]
            rows = stored.to_table(columns=present, filter=where)
            for column in wanted:
                if column.name not in present:
                    rows = rows.append_column(column, pa.nulls(rows.num_rows, column.type))
            return rows.select(wanted.names).cast(wanted)

    def files(self, name: str) -> list[tuple[str, int]]:
        """The table's Parquet files, relative to its folder and sorted, and their bytes."""
        table = self.open(name)
        if table is None:
            return []
        with _storage_faults(name):
            added = pa.table(table.get_add_actions(flatten=True))
        return sorted(zip(*added.select(["path", "size_bytes"]).to_pydict().values(), strict=True))

    def rows(self, name: str) -> int | None:
        """How many rows the table's log says it has; None if it does not say."""
        table = self.open(name)
        if table is None:
            return 0
        with _storage_faults(name):
            added = pa.table(table.get_add_actions(flatten=True))
        known = "num_records" in added.column_names and not added["num_records"].null_count
        return (pc.sum(added["num_records"]).as_py() or 0) if known else None

    def values(self, name: str, record: type, column: str) -> set[Any]:
        """The distinct values of one column."""
        return set(pc.unique(self.read(name, record, [column])[column]).to_pylist())

    def names(self, prefix: str) -> list[str]:
        """Tables whose name starts with the prefix and a slash, such as `scores/…`."""
        selector = fs.FileSelector(self.storage.path(prefix), allow_not_found=True)
        with _storage_faults(prefix):
            found = self.storage.filesystem.get_file_info(selector)
        names = sorted(f"{prefix}/{info.base_name}" for info in found)
        return [name for name in names if self.open(name) is not None]

    def append(self, name: str, record: type, rows: pa.Table) -> None:
        """Appends rows that stand for themselves, whoever else writes to the table."""
        self.make(name, record)
        check_room(self.storage, rows.nbytes)
        with _storage_faults(name):
            write_deltalake(
                self.storage.table_uri(name), rows, mode="append",
                storage_options=self.storage.delta_options,
            )  # fmt: skip

    def make(self, name: str, record: type) -> None:
        """Makes the table, empty, if it does not exist, and adds columns that it lacks."""
        form = records.schema(record)
        check_room(self.storage)
        with _storage_faults(name):
            table = DeltaTable.create(
                self.storage.table_uri(name),
                form,
                mode="ignore",
                storage_options=self.storage.delta_options,
                raise_if_key_not_exists=False,
            )
            held = {field.name for field in table.schema().fields}
            if lacking := [f for f in Schema.from_arrow(form).fields if f.name not in held]:
                table.alter.add_columns(lacking)

    @contextlib.contextmanager
    def writer(self, app: str, tables: Mapping[str, type]) -> Iterator[Writer]:
        """Takes the tables (made if need be) for this run of `app`.

        Raises `HeldError` while another run of `app` holds one of them.
        """
        with leased(self.storage, app, tables):
            yield Writer(self, app, tables)


def arrow_dataset(table: DeltaTable, storage: Storage, name: str) -> ds.Dataset:
    """The table's rows, read through Arrow's own filesystem.

    The Delta library's default is one in Python, whose calls from Arrow's threads abort the
    interpreter now and then while it ends.
    """
    place = fs.SubTreeFileSystem(storage.path(name), storage.filesystem)
    return table.to_pyarrow_dataset(filesystem=place)


class Writer:
    """Appends to tables that it has taken."""

    def __init__(self, catalog: Catalog, app: str, tables: Mapping[str, type]) -> None:
        self._catalog = catalog
        self._app = f"reelmill/{app}"
        self._records = dict(tables)
        self._numbers: dict[str, int] = {}
        for name, record in tables.items():
            self._take(name, record)

    def _take(self, name: str, record: type) -> None:
        self._catalog.make(name, record)
        table = self._fresh(name)
        self._numbers[name] = table.transaction_version(self._app) or 0
        self.add_files(name, [])

    def _fresh(self, name: str) -> DeltaTable:
        table = self._catalog.open(name)
        if table is None:
            raise InfrastructureError(f"the table {name} went away")
        return table

    def append(self, name: str, rows: pa.Table) -> None:
        """Commits rows, all or none."""
        if rows.num_rows:
            check_room(self._catalog.storage, rows.nbytes)
            table = self._checked(name)
            with self._committing(name) as properties:
                write_deltalake(table, rows, mode="append", commit_properties=properties)

    def add_files(self, name: str, files: Iterable[NewFile]) -> None:
        """Commits files that workers wrote; none of them just takes the table."""
        check_room(self._catalog.storage)
        table = self._checked(name)
        actions = [
            AddAction(file.path, file.size_bytes, {}, 0, True, f'{{"numRecords":{file.rows}}}')
            for file in files
        ]
        with self._committing(name) as properties:
            table.create_write_transaction(
                actions, "append", records.schema(self._records[name]), commit_properties=properties
            )

    def drop(self, name: str, column: str, values: set[str], *, also: str = "") -> None:
        """Drops rows with these values for which the condition `also` holds.

        For rows that nothing announces, left by a run that was cut short, and for failures that get
        another chance.
        """
        if values:
            table = self._checked(name)
            listed = ", ".join("'" + value.replace("'", "''") + "'" for value in sorted(values))
            with self._committing(name) as properties:
                where = f"{column} in ({listed})" + (f" and {also}" if also else "")
                table.delete(where, commit_properties=properties)

    def _checked(self, name: str) -> DeltaTable:
        table = self._fresh(name)
        if (table.transaction_version(self._app) or 0) != self._numbers[name]:
            raise StaleWriterError(
                f"another run has taken over {self._catalog.storage.uri(name)}; this one stops. "
                "Nothing is lost: start it again when the other has ended."
            )
        return table

    @contextlib.contextmanager
    def _committing(self, name: str) -> Iterator[CommitProperties]:
        number = self._numbers[name] + 1
        with _storage_faults(name):
            try:
                yield CommitProperties(
                    app_transactions=[Transaction(self._app, number)], max_commit_retries=0
                )
            except CommitFailedError as error:
                raise StaleWriterError(
                    f"another run committed to {name} first; this one stops ({plain(error)})"
                ) from error
        self._numbers[name] = number


@contextlib.contextmanager
def _storage_faults(name: str) -> Iterator[None]:
    try:
        yield
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise InfrastructureError(f"{name}: {plain(error)}") from error
