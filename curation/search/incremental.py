"""What came into a table since the index last read it: its new files, read once.

A file whose rows all belong to known clips is done with. One that has rows of clips that nothing
announces yet (a scan is under way) waits, and is read again the next time.
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
from curation.search.manifest import Seen
from curation.storage import storage_faults

_NAME = "__filename"


@dataclass(frozen=True)
class Fresh:
    """The files of a table that the index has not done with."""

    catalog: Catalog
    name: str
    record: type
    files: tuple[str, ...]
    """To read."""
    again: tuple[str, ...]
    """Those of them that were read before, and waited."""
    done: tuple[str, ...]
    """Read before and still there."""
    gone: bool
    """Whether files that were read are gone: rows were deleted."""

    @classmethod
    def of(cls, catalog: Catalog, name: str, record: type, seen: Seen | None) -> Fresh:
        """Compares a table with what was seen of it."""
        there = [file for file, _ in catalog.files(name)]
        known = set(seen.files) if seen else set()
        files = tuple(file for file in there if file not in known)
        done = tuple(file for file in there if file in known)
        again = tuple(file for file in files if seen and file in seen.waiting)
        gone = len(done) < len(known) or len(again) < len(seen.waiting if seen else ())
        return cls(catalog, name, record, files, again, done, gone)

    def whole(self) -> Fresh:
        """The same table, to be read from its first row."""
        return dataclasses.replace(self, files=(*self.done, *self.files), again=(), done=())

    def parts(self) -> tuple[pa.Table, pa.Table]:
        """The rows of files that were never read, and of those that waited."""
        new = tuple(file for file in self.files if file not in set(self.again))
        return self._rows(new), self._rows(self.again)

    def read(self) -> pa.Table:
        """The rows of all files to read, in the record's schema."""
        return self._rows(self.files)

    def _rows(self, files: Sequence[str]) -> pa.Table:
        form = records.schema(self.record)
        if not files:
            return form.empty_table()
        with storage_faults():
            return self._dataset(files).to_table().cast(form)

    def select(self, columns: Sequence[str], condition: pc.Expression) -> pa.Table:
        """Some columns of the rows, in all files to read, for which a condition holds."""
        if not self.files:
            return records.schema(self.record).empty_table().select(list(columns))
        with storage_faults():
            return self._dataset(self.files).to_table(columns=list(columns), filter=condition)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The same bit by bit."""
        if self.files:
            with storage_faults():
                yield from self._dataset(self.files).to_batches(
                    columns=list(columns), batch_readahead=2, fragment_readahead=1
                )

    def seen(self, strangers: pa.Array) -> Seen:
        """What was seen of the table if its rows of `strangers` (clip ids) are left for later."""
        waiting: set[str] = set()
        if len(strangers):
            with storage_faults():
                of = pc.field("clip_id").isin(strangers)
                names = self._dataset(self.files).to_table(columns=[_NAME], filter=of)[_NAME]
            prefix = len(self.catalog.storage.path(self.name)) + 1
            waiting = {name[prefix:] for name in pc.unique(names).to_pylist()}
        read = [file for file in self.files if file not in waiting]
        return Seen(tuple(sorted([*self.done, *read])), tuple(sorted(waiting)))

    def _dataset(self, files: Sequence[str]) -> ds.Dataset:
        storage = self.catalog.storage
        paths = [storage.path(f"{self.name}/{file}") for file in files]
        form = records.schema(self.record)
        return ds.dataset(paths, form, format="parquet", filesystem=storage.filesystem)
