"""Commits to Delta tables that state what the table holds after them.

The `commitInfo` of each commit has under `reelmill`

    id      random: by it a writer recognises its own commit when the storage's answer was lost
    files   a digest of path, size, rows and extremes of every file that the table then has

Whoever opens a table compares the digest of its newest commit with the files that the log and its
checkpoint give. So a line that is lost, a changed path and a damaged checkpoint are found before a
row is read. Commits of older versions, and of other writers, state nothing.

Of each file the log has the number of its rows and the extremes of its id columns, by which lookups
skip files. A commit that puts the same rows into other files says so (`dataChange` is false).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, NamedTuple

import pyarrow as pa
from deltalake import (
    CommitProperties,
    DeltaTable,
    Field,
    PostCommitHookProperties,
    Transaction,
)
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction

from curation.data_file import ID_COLUMNS, NewFile
from curation.errors import InfrastructureError
from curation.storage import Storage

_KEY = "reelmill"
_METADATA_CHANGED = "Metadata changed"
AFTER_COMMIT = PostCommitHookProperties(cleanup_expired_logs=False)
"""A checkpoint now and then; what old versions need is for `reelmill gc` to remove."""


class TableFile(NamedTuple):
    """A file of a table, as its log states it."""

    path: str
    """Relative to the table's folder."""
    size_bytes: int
    rows: int | None
    """None where the log states none."""
    extremes: tuple[tuple[str, str, str], ...] = ()
    """Of the id columns without nulls: name, least and greatest value."""

    @classmethod
    def of(cls, file: NewFile) -> TableFile:
        """A file that becomes part of a table."""
        extremes = tuple((name, *pair) for name, pair in sorted(file.extremes.items()))
        return cls(file.path, file.size_bytes, file.rows, extremes)


class DamagedLogError(InfrastructureError):
    """The log of a table is not what was written."""

    advice = (
        "Nothing was read or changed. Restore the table's `_delta_log` from a copy; `reelmill"
        " verify` says what else is damaged."
    )


def table_files(table: DeltaTable) -> list[TableFile]:
    """The files of a table, sorted."""
    added = pa.table(table.get_add_actions(flatten=True))
    unknown = [None] * len(added)
    columns = {name: added[name].to_pylist() for name in added.column_names if _is_stated(name)}
    extremes = [
        zip(repeat(name), columns[f"min.{name}"], columns[f"max.{name}"], strict=False)
        for name in sorted(ID_COLUMNS)
        if f"min.{name}" in columns and f"max.{name}" in columns
    ]
    of_file = zip(*extremes, strict=True) if extremes else repeat(())
    rows = columns.get("num_records", unknown)
    files = zip(columns["path"], columns["size_bytes"], rows, of_file, strict=False)
    return sorted(
        TableFile(path, size_bytes, count, tuple(e for e in stated if None not in e))
        for path, size_bytes, count, stated in files
    )


def _is_stated(column: str) -> bool:
    kind, _, name = column.partition(".")
    return column in ("path", "size_bytes", "num_records") or (
        kind in ("min", "max") and name in ID_COLUMNS
    )


@dataclass(frozen=True)
class Change:
    """What one commit did to the files of a table."""

    added: frozenset[str]
    removed: frozenset[str]
    changes_rows: bool
    """False if the same rows are in other files, or nothing changed but a transaction."""


def read_change(storage: Storage, name: str, version: int) -> Change | None:
    """What the commit of a version did; None if its file is no longer in the log.

    Raises `OSError`, or `DamagedLogError`.
    """
    actions = _read_actions(storage, name, version)
    if actions is None:
        return None
    added, removed = ([a[key] for a in actions if key in a] for key in ("add", "remove"))
    return Change(
        frozenset(file["path"] for file in added),
        frozenset(file["path"] for file in removed),
        any(file.get("dataChange", True) for file in (*added, *removed)),
    )


def has_same_rows(storage: Storage, name: str, since: int, until: int) -> bool:
    """Whether no commit after one version, up to another, changed the rows of a table."""
    changes = (read_change(storage, name, version) for version in range(since + 1, until + 1))
    return all(change is not None and not change.changes_rows for change in changes)


def followed(storage: Storage, name: str, table: DeltaTable, paths: set[str]) -> set[str]:
    """Where the rows of some files of an older version are now: merges of these alone are followed.

    Files of which rows were dropped, or that were merged with others, stay as they are named.
    """
    gone = paths - {file.path for file in table_files(table)}
    changes: list[Change] = []
    version = table.version()
    while gone and (change := read_change(storage, name, version)) is not None:
        gone -= change.removed
        changes.append(change)
        version -= 1
    for change in reversed(changes):
        if change.removed and not change.changes_rows and change.removed <= paths:
            paths = paths - change.removed | change.added
    return paths


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
    changes_rows: bool = True,
) -> list[TableFile]:
    """Makes files part of a table, and others no longer, in one commit after the table's version.

    `changes_rows` is false if those others have the same rows. Returns the files of the table.
    Raises `OSError` or `DeltaError`, for which `is_conflict` holds where another commit was first.
    """
    files = {file[0]: file for file in table_files(table)}
    actions: list[AddAction | RemoveAction] = [
        AddAction(file.path, file.size_bytes, {}, 0, changes_rows, _statistics(file))
        for file in add
    ]
    now_ms = time.time_ns() // 1_000_000
    actions += [
        RemoveAction(path, changes_rows, now_ms, files.pop(path)[1]) for path in sorted(remove)
    ]
    files |= {file.path: TableFile.of(file) for file in add}
    then = sorted(files.values())
    with committing(storage, name, table.version() + 1, then, transactions) as properties:
        table.create_write_transaction(
            actions, "append", table.schema(), commit_properties=properties,
            post_commithook_properties=AFTER_COMMIT,
        )  # fmt: skip
    table.update_incremental()
    return then


def _statistics(file: NewFile) -> str:
    """What the log states of a file, as Delta's protocol has it."""
    stated: dict[str, Any] = {"numRecords": file.rows}
    if file.extremes:
        low, high = ({n: pair[i] for n, pair in file.extremes.items()} for i in (0, 1))
        stated |= {"minValues": low, "maxValues": high, "nullCount": dict.fromkeys(low, 0)}
    return json.dumps(stated)


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
        table.alter.add_columns(
            columns, commit_properties=properties, post_commithook_properties=AFTER_COMMIT
        )
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
    actions = _read_actions(storage, name, version)
    if actions is None:
        return None
    commits = (action.get("commitInfo") for action in actions)
    return next(commit for commit in commits if isinstance(commit, dict))


def _read_actions(storage: Storage, name: str, version: int) -> list[dict[str, Any]] | None:
    """The actions of a version, among them a `commitInfo`; None if there is no such file."""
    relative = f"{name}/_delta_log/{version:020}.json"
    try:
        with storage.filesystem.open_input_stream(storage.path(relative)) as stream:
            lines = stream.read().splitlines()
    except FileNotFoundError:
        return None
    actions = []
    for line in lines:
        with contextlib.suppress(ValueError):
            action = json.loads(line)
            if isinstance(action, dict):
                actions.append(action)
    if not any(isinstance(action.get("commitInfo"), dict) for action in actions):
        raise DamagedLogError(f"{storage.uri(relative)} holds no commit")
    return actions


def _digest(files: Iterable[TableFile]) -> str:
    stated = [file if file.extremes else file[:3] for file in files]
    return hashlib.sha256(json.dumps(stated).encode()).hexdigest()[:32]
