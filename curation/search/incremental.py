"""What came into a table since the index last read it: its new files, read once.

A file whose rows all belong to indexed clips is read for good. One that has rows of clips of
sources that are not committed yet (a scan is under way) is pending, and is read again next time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from curation import records
from curation.catalog import Catalog
from curation.data_file import FORMAT, check_footers
from curation.search.manifest import ReadFiles
from curation.storage import storage_faults
from curation.table_rows import filter_rows

_FILENAME = "__filename"
"""pyarrow's column of the file that a row comes from."""


@dataclass(frozen=True)
class NewFiles:
    """The files of a table that the index has to read."""

    catalog: Catalog
    name: str
    record: type
    files: tuple[str, ...]
    """To read."""
    pending: tuple[str, ...]
    """Those of them that were read before, with rows of unknown clips."""
    read: tuple[str, ...]
    """Read for good and still in the table."""
    is_any_gone: bool
    """Whether files that were read were removed: rows were deleted."""

    @classmethod
    def of(cls, catalog: Catalog, name: str, record: type, previous: ReadFiles | None) -> NewFiles:
        """Compares a table with what the index read of it."""
        previous = previous or ReadFiles(())
        previously_read = catalog.followed(name, previous.files)
        current = [file for file, _ in catalog.files(name)]
        files = tuple(file for file in current if file not in previously_read)
        read = tuple(file for file in current if file in previously_read)
        pending = tuple(file for file in files if file in previous.pending)
        is_any_gone = len(read) < len(previously_read) or len(pending) < len(previous.pending)
        return cls(catalog, name, record, files, pending, read, is_any_gone)

    def all_files(self) -> NewFiles:
        """The same table, to be read from its first row."""
        return dataclasses.replace(self, files=(*self.read, *self.files), pending=(), read=())

    def rows(self) -> pa.Table:
        """The rows of all files to read, in the record's schema."""
        return self._rows(self.files)

    def new_and_pending_rows(self) -> tuple[pa.Table, pa.Table]:
        """The rows of files that were never read, and of the pending ones."""
        new = tuple(file for file in self.files if file not in set(self.pending))
        return self._rows(new), self._rows(self.pending)

    def _rows(self, files: Sequence[str]) -> pa.Table:
        schema = records.arrow_schema(self.record)
        if not files:
            return schema.empty_table()
        with storage_faults(self.name):
            return filter_rows(self._dataset(files), schema.names).cast(schema)

    def select(self, columns: Sequence[str], condition: pc.Expression) -> pa.Table:
        """Some columns of the rows, in all files to read, for which a condition holds."""
        if not self.files:
            return records.arrow_schema(self.record).empty_table().select(list(columns))
        with storage_faults(self.name):
            return filter_rows(self._dataset(self.files), list(columns), condition)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Some columns of the rows in all files to read, batch by batch."""
        if self.files:
            with storage_faults(self.name):
                yield from self._dataset(self.files).to_batches(
                    columns=list(columns), batch_readahead=2, fragment_readahead=1
                )

    def read_files(self, unknown_ids: pa.Array) -> ReadFiles:
        """What is read of the table afterwards; files with rows of unknown clips are pending."""
        pending: set[str] = set()
        if len(unknown_ids):
            with storage_faults(self.name):
                is_unknown = pc.field("clip_id").isin(unknown_ids)
                rows = self._dataset(self.files).to_table(columns=[_FILENAME], filter=is_unknown)
            prefix = len(self.catalog.storage.path(self.name)) + 1
            pending = {path[prefix:] for path in pc.unique(rows[_FILENAME]).to_pylist()}
        files = [file for file in self.files if file not in pending]
        return ReadFiles(tuple(sorted([*self.read, *files])), tuple(sorted(pending)))

    def _dataset(self, files: Sequence[str]) -> ds.Dataset:
        storage = self.catalog.storage
        check_footers(storage, self.name, files)
        paths = [storage.path(f"{self.name}/{file}") for file in files]
        schema = records.arrow_schema(self.record)
        return ds.dataset(paths, schema, format=FORMAT, filesystem=storage.filesystem)
