"""Commits to Delta tables that state what the table holds after them.

The `commitInfo` of each commit has under `reelmill`

    id      random: by it a writer recognises its own commit when the storage's answer was lost
    files   a digest of path, size and rows of every file that the table then has

Whoever opens a table compares the digest of its newest commit with the files that the log and its
checkpoint give. So a line that is lost, a changed path and a damaged checkpoint are found before a
row is read. Commits of older versions, and of other writers, state nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Field, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction

from curation.data_file import NewFile
from curation.errors import InfrastructureError
from curation.storage import Storage

_KEY = "reelmill"
_METADATA_CHANGED = "Metadata changed"
TableFile = tuple[str, int, int | None]
"""Path relative to the table's folder, bytes, and rows as far as the log states them."""


class DamagedLogError(InfrastructureError):
    """The log of a table is not what was written."""

    advice = (
        "Nothing was read or changed. Restore the table's `_delta_log` from a copy; `reelmill"
        " verify` says what else is damaged."
    )


def table_files(table: DeltaTable) -> list[TableFile]:
    """The files of a table, sorted."""
    added = pa.table(table.get_add_actions(flatten=True))
    names = added.column_names
    columns = [added["path"].to_pylist(), added["size_bytes"].to_pylist()]
    has_rows = "num_records" in names
    columns.append(added["num_records"].to_pylist() if has_rows else [None] * len(added))
    return sorted(zip(*columns, strict=True))


def is_conflict(error: DeltaError) -> bool:
    """Whether a commit failed because another was made first."""
    return isinstance(error, CommitFailedError) or _METADATA_CHANGED in str(error)


@contextlib.contextmanager
def committing(
    storage: Storage,
    name: str,
    version: int,
    files: Iterable[TableFile],
    transactions: Sequence[Transaction] = (),
) -> Iterator[CommitProperties]:
    """The properties of the commit in this block, which makes a version with these files.

    The error of a commit that was made all the same, as where the answer of the storage was lost,
    is suppressed.
    """
    stated = {"id": secrets.token_hex(8), "files": _digest(files)}
    try:
        yield CommitProperties(
            custom_metadata={_KEY: stated},
            app_transactions=list(transactions),
            max_commit_retries=0,
        )
    except (DeltaError, OSError):
        commit = None
        with contextlib.suppress(OSError, pa.ArrowException, InfrastructureError):
            commit = _read_commit(storage, name, version)
        if commit is None or commit.get(_KEY) != stated:
            raise


def commit_files(
    storage: Storage,
    name: str,
    table: DeltaTable,
    add: Sequence[NewFile] = (),
    *,
    remove: Collection[str] = (),
    transactions: Sequence[Transaction] = (),
) -> None:
    """Makes files part of a table, and others no longer, in one commit after the table's version.

    Raises `OSError` or `DeltaError`, for which `is_conflict` holds where another commit was first.
    """
    files = {file[0]: file for file in table_files(table)}
    actions: list[AddAction | RemoveAction] = [
        AddAction(file.path, file.size_bytes, {}, 0, True, json.dumps({"numRecords": file.rows}))
        for file in add
    ]
    now_ms = time.time_ns() // 1_000_000
    actions += [RemoveAction(path, True, now_ms, files.pop(path)[1]) for path in sorted(remove)]
    files |= {file.path: (file.path, file.size_bytes, file.rows) for file in add}
    then = sorted(files.values())
    with committing(storage, name, table.version() + 1, then, transactions) as properties:
        table.create_write_transaction(
            actions, "append", table.schema(), commit_properties=properties
        )
    table.update_incremental()


def commit_columns(
    storage: Storage,
    name: str,
    table: DeltaTable,
    columns: list[Field],
    transactions: Sequence[Transaction] = (),
) -> None:
    """Adds columns to a table, in one commit after the table's version; raises as above."""
    files = table_files(table)
    with committing(storage, name, table.version() + 1, files, transactions) as properties:
        table.alter.add_columns(columns, commit_properties=properties)
    table.update_incremental()


def check_log(storage: Storage, name: str, table: DeltaTable) -> None:
    """Raises `DamagedLogError` if the table's newest commit states other files than it has."""
    commit = _read_commit(storage, name, table.version())
    if commit is None:  # its file was cleaned up after a checkpoint
        return
    stated = commit.get(_KEY)
    if isinstance(stated, dict) and stated.get("files") != _digest(table_files(table)):
        raise DamagedLogError(
            f"{storage.uri(name)}/_delta_log: the files that it lists are not those of the newest"
            f" commit, {table.version()}"
        )


def _read_commit(storage: Storage, name: str, version: int) -> dict[str, Any] | None:
    """The `commitInfo` of a version; None if there is no such file in the log."""
    relative = f"{name}/_delta_log/{version:020}.json"
    try:
        with storage.filesystem.open_input_stream(storage.path(relative)) as stream:
            lines = stream.read().splitlines()
    except FileNotFoundError:
        return None
    for line in lines:
        with contextlib.suppress(ValueError):
            action = json.loads(line)
            commit = action.get("commitInfo") if isinstance(action, dict) else None
            if isinstance(commit, dict):
                return commit
    raise DamagedLogError(f"{storage.uri(relative)} holds no commit")


def _digest(files: Iterable[TableFile]) -> str:
    return hashlib.sha256(json.dumps(list(files)).encode()).hexdigest()[:32]
