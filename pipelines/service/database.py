"""What the server remembers: one SQLite file, in WAL mode, each commit on disk before it counts.

Writers in one process take turns by a lock, and those of other processes (`reelmill key`) by
SQLite's own. Readers have a connection per thread and never wait.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS api_keys (
    key_id TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
    scope TEXT NOT NULL, created TEXT NOT NULL, expires TEXT, revoked TEXT
);
CREATE TABLE IF NOT EXISTS sessions (
    digest TEXT PRIMARY KEY, key_id TEXT NOT NULL, expires TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
    kind TEXT NOT NULL, collection TEXT NOT NULL, request TEXT NOT NULL, command TEXT NOT NULL,
    priority INTEGER NOT NULL, state TEXT NOT NULL, attempt INTEGER NOT NULL DEFAULT 0,
    losses INTEGER NOT NULL DEFAULT 0, created TEXT NOT NULL, started TEXT, ended TEXT,
    exit_code INTEGER, error TEXT, cancelled_by TEXT, cancel_reason TEXT
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, priority DESC, seq);
CREATE TABLE IF NOT EXISTS idempotency_keys (
    owner TEXT NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL, job_id TEXT NOT NULL,
    PRIMARY KEY (owner, key)
);
CREATE TABLE IF NOT EXISTS turns (
    owner TEXT PRIMARY KEY, turn INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL, at TEXT NOT NULL,
    kind TEXT NOT NULL, who TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_job ON events (job_id, seq);
"""


class Database:
    """Connections to one file, created readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        path.touch(0o600)
        self._write_lock = threading.RLock()
        self._thread_local = threading.local()
        with self.transaction() as connection:
            connection.executescript(_SCHEMA)

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._thread_local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, timeout=10.0, isolation_level=None)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            self._thread_local.connection = connection
        return connection

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction: committed when the block ends, rolled back if it raises."""
        with self._write_lock:
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    def fetch_all(self, query: str, *values: object) -> list[sqlite3.Row]:
        """The rows of a query."""
        return self._connection().execute(query, values).fetchall()

    def fetch_one(self, query: str, *values: object) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        row: sqlite3.Row | None = self._connection().execute(query, values).fetchone()
        return row


def timestamp(offset: timedelta = timedelta()) -> str:
    """The time now, or `offset` later: UTC, ISO 8601 to the millisecond, which sorts as text."""
    return (datetime.now(timezone.utc) + offset).isoformat(timespec="milliseconds")
