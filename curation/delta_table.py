"""One table as the Delta library opens it: its columns, its rows, and what its faults mean."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable, Field, Schema
from deltalake.exceptions import DeltaError

from curation import records
from curation.commit_log import table_files
from curation.errors import InfrastructureError
from curation.storage import Storage, one_line
from curation.table_rows import files_dataset

_PANIC = "PanicException"
"""What the Delta library raises where it panics: no `Exception`, and not importable."""
ATTEMPTS = 100
PAUSE_S = 0.2
"""How often, and after which pauses at most, an append is tried again after others' commits."""
MERGE_FAULTS = (InfrastructureError, OSError, pa.ArrowException, DeltaError)
"""Of a merge that nobody asked for: the files stay, and `reelmill compact` says why."""


class StaleWriterError(InfrastructureError):
    """Another run has acquired the table; this one has to stop."""


class VersionGoneError(InfrastructureError):
    """The table no longer has this version: `reelmill gc` has removed its log entries."""


class CreatedFirstError(StaleWriterError):
    """Another run has created the table."""


def lacking_columns(table: DeltaTable, record: type) -> list[Field]:
    """The columns of a record that a table is too old to have."""
    names = {field.name for field in table.schema().fields}
    fields = Schema.from_arrow(records.arrow_schema(record)).fields
    return [field for field in fields if field.name not in names]


def arrow_dataset(
    table: DeltaTable, storage: Storage, name: str, where: pc.Expression | None = None
) -> ds.Dataset:
    """The table's rows; without files that hold none for which a condition holds."""
    return files_dataset(storage, name, arrow_schema(table), table_files(table), where)


def arrow_schema(table: DeltaTable) -> pa.Schema:
    """The columns of a table as Arrow names them."""
    return pa.schema(table.schema().to_arrow())


@contextlib.contextmanager
def storage_faults(name: str) -> Iterator[None]:
    """In this block what fails in a table's storage, or the library, is `InfrastructureError`."""
    try:
        yield
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise InfrastructureError(f"{name}: {one_line(error)}") from error
    except BaseException as error:
        if type(error).__name__ != _PANIC:
            raise
        raise InfrastructureError(
            f"{name}: the Delta library broke down, as on a damaged checkpoint or a full disk"
            f" ({one_line(error)})"
        ) from error
