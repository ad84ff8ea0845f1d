"""The queue of jobs, and the events of each job.

States: `queued` → `running` → `done`, `failed` or `stopped`; a cancel makes `queued` → `cancelled`
and `running` → `cancelling` → `cancelled`. Each transition and its event are one transaction, which
names the states it may start from: of two concurrent ones the first wins and the other raises.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from curation.errors import ReelmillError
from pipelines.service.database import Database, timestamp
from pipelines.service.schemas import FINAL, JobEvent, JobKind, JobRequest, JobState

MAX_LOSSES = 3
"""How often a lost job is queued again automatically."""
EXIT_MEANINGS = {
    0: "all accounted for",
    1: "failed",
    2: "refused: the log says why",
    3: "finished, but some inputs failed",
    4: "stopped; a retry resumes it",
}
"""Exit codes of the command line."""
_FINAL_STATES: dict[int, JobState] = {0: "done", 3: "done", 4: "stopped"}


class QueueError(ReelmillError, ValueError):
    """The queue refuses a request; `status` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class JobRecord:
    """One job as stored."""

    seq: int
    job_id: str
    owner: str
    kind: JobKind
    collection: str
    request: str
    """The `JobRequest` as JSON."""
    command: str
    """The command line as JSON."""
    priority: int
    state: JobState
    attempt: int
    losses: int
    created: str
    started: str | None
    ended: str | None
    exit_code: int | None
    error: str | None
    cancelled_by: str | None
    cancel_reason: str | None


@dataclass(frozen=True)
class JobEnd:
    """The end of a job."""

    seq: int
    at: str
    kind: str
    """The state that it ended in."""
    detail: str
    job_id: str
    owner: str
    job_kind: str
    collection: str


class JobQueue:
    """The jobs of one server."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def submit(
        self,
        owner: str,
        request: JobRequest,
        command: Sequence[str],
        key: str | None,
        max_queued: int,
    ) -> tuple[JobRecord, bool]:
        """Adds a job, or finds the one that this key made; and whether it is new.

        `{job}` in the command is the job's id. Raises `QueueError` for a key that was used for
        another request, and for too many queued jobs.
        """
        request_json = request.model_dump_json()
        digest = hashlib.sha256(request_json.encode()).hexdigest()
        if key is not None and (existing := self._idempotent_job(owner, key, digest)):
            return existing, False
        with self._database.transaction() as connection:
            if key is not None and (existing := self._idempotent_job(owner, key, digest)):
                return existing, False
            _check_queue_limit(connection, owner, max_queued)
            job_id = secrets.token_hex(8)
            arguments = [word.replace("{job}", job_id) for word in command]
            connection.execute(
                "INSERT INTO jobs (job_id, owner, kind, collection, request, command, priority,"
                " state, created) VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', ?)",
                (job_id, owner, request.kind, request.collection, request_json,
                 json.dumps(arguments), request.priority, timestamp()),
            )  # fmt: skip
            if key is not None:
                connection.execute(
                    "INSERT INTO idempotency_keys VALUES (?, ?, ?, ?)", (owner, key, digest, job_id)
                )
            _add_event(connection, job_id, "queued", owner)
        return self.get(job_id), True

    def _idempotent_job(self, owner: str, key: str, digest: str) -> JobRecord | None:
        row = self._database.fetch_one(
            "SELECT * FROM idempotency_keys WHERE owner = ? AND key = ?", owner, key
        )
        if row is None:
            return None
        if row["digest"] != digest:
            raise QueueError("this Idempotency-Key was used for another job; send a new one", 422)
        return self.get(row["job_id"])

    def get(self, job_id: str) -> JobRecord:
        """One job; `QueueError` if there is none."""
        row = self._database.fetch_one("SELECT * FROM jobs WHERE job_id = ?", job_id)
        if row is None:
            raise QueueError("there is no such job", 404)
        return JobRecord(**row)

    def exists(self, job_id: str) -> bool:
        """Whether there is such a job."""
        return self._database.fetch_one("SELECT 1 FROM jobs WHERE job_id = ?", job_id) is not None

    def newest(
        self, limit: int, before: int | None = None, state: str | None = None,
        collection: str | None = None,
    ) -> list[JobRecord]:  # fmt: skip
        """Jobs, newest first; those older than `before`, a `seq`."""
        rows = self._database.fetch_all(
            "SELECT * FROM jobs WHERE (?1 IS NULL OR seq < ?1) AND (?2 IS NULL OR state = ?2)"
            " AND (?3 IS NULL OR collection = ?3) ORDER BY seq DESC LIMIT ?4",
            before, state, collection, limit,
        )  # fmt: skip
        return [JobRecord(**row) for row in rows]

    def active(self) -> list[JobRecord]:
        """Running and cancelling jobs."""
        rows = self._database.fetch_all(
            "SELECT * FROM jobs WHERE state IN ('running', 'cancelling') ORDER BY seq"
        )
        return [JobRecord(**row) for row in rows]

    def counts(self) -> dict[str, int]:
        """Numbers of jobs by state."""
        rows = self._database.fetch_all("SELECT state, count(*) AS jobs FROM jobs GROUP BY state")
        return {row["state"]: row["jobs"] for row in rows}

    def events(self, job_id: str, after: int = 0, limit: int = 1000) -> list[JobEvent]:
        """The events of a job, in order."""
        rows = self._database.fetch_all(
            "SELECT seq, at, kind, who, detail FROM events WHERE job_id = ? AND seq > ?"
            " ORDER BY seq LIMIT ?",
            job_id, after, limit,
        )  # fmt: skip
        return [JobEvent(**row) for row in rows]

    def last_event(self) -> int:
        """The number of the newest event; 0 if there is none."""
        (row,) = self._database.fetch_all("SELECT coalesce(max(seq), 0) AS seq FROM events")
        return int(row["seq"])

    def ends(self, after: int, limit: int = 100) -> list[JobEnd]:
        """The ends of jobs after an event, in order; a queued job ends when it is cancelled."""
        rows = self._database.fetch_all(
            "SELECT e.seq, at, CASE e.kind WHEN 'cancel' THEN 'cancelled' ELSE e.kind END AS kind,"
            " detail, job_id, owner, jobs.kind AS job_kind, collection"
            " FROM events AS e JOIN jobs USING (job_id)"
            f" WHERE e.seq > ? AND (e.kind IN ({', '.join('?' * len(FINAL))})"
            " OR e.kind = 'cancel' AND state = 'cancelled' AND NOT EXISTS (SELECT 1 FROM events"
            " AS l WHERE l.job_id = e.job_id AND l.seq > e.seq AND l.kind = 'cancelled'))"
            " ORDER BY e.seq LIMIT ?",
            after, *FINAL, limit,
        )  # fmt: skip
        return [JobEnd(**row) for row in rows]

    def start_next(self, max_running: int, max_per_owner: int) -> JobRecord | None:
        """Marks the next job as running, if the limits allow one.

        The highest priority first; of one priority, owners take turns: first who has the fewest
        jobs running, then whose last start is the longest ago, and of each the oldest job. One job
        at a time for a collection, as its tables have one writer.
        """
        with self._database.transaction() as connection:
            row = connection.execute(
                "WITH active AS (SELECT * FROM jobs WHERE state IN ('running', 'cancelling')),"
                " running AS (SELECT owner, count(*) AS jobs FROM active GROUP BY owner)"
                " SELECT job_id, owner FROM jobs"
                " LEFT JOIN running USING (owner) LEFT JOIN turns USING (owner)"
                " WHERE state = 'queued' AND (SELECT count(*) FROM active) < ?"
                " AND collection NOT IN (SELECT collection FROM active)"
                " AND coalesce(running.jobs, 0) < ?"
                " ORDER BY priority DESC, coalesce(running.jobs, 0), coalesce(turn, 0), seq"
                " LIMIT 1",
                (max_running, max_per_owner),
            ).fetchone()
            if row is None:
                return None
            connection.execute(
                "UPDATE jobs SET state = 'running', attempt = attempt + 1, started = ?,"
                " ended = NULL, exit_code = NULL, error = NULL WHERE job_id = ?",
                (timestamp(), row["job_id"]),
            )
            connection.execute(
                "REPLACE INTO turns SELECT ?, coalesce(max(turn), 0) + 1 FROM turns",
                (row["owner"],),
            )
            _add_event(connection, row["job_id"], "started", "server")
        return self.get(row["job_id"])

    def finish(self, job: JobRecord, exit_code: int | None, error: str | None = None) -> None:
        """Records the end of a command: its exit code, or the error that prevented one."""
        state = "failed" if exit_code is None else _FINAL_STATES.get(exit_code, "failed")
        if job.state == "cancelling" and state != "done":
            state = "cancelled"
        detail = error or ""
        if not error and exit_code is not None:
            detail = EXIT_MEANINGS.get(exit_code, f"ended by signal {-exit_code}")
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "UPDATE jobs SET state = ?, ended = ?, exit_code = ?, error = ?"
                " WHERE job_id = ? AND attempt = ? AND state = ?",
                (state, timestamp(), exit_code, None if state in ("done", "cancelled") else detail,
                 job.job_id, job.attempt, job.state),
            )  # fmt: skip
            if cursor.rowcount:
                _add_event(connection, job.job_id, state, "server", detail)

    def mark_lost(self, job: JobRecord, was_started: bool) -> None:
        """Records that a job vanished without a result: killed, or the machine went down.

        Its tables hold what it had done, so it is queued again; after some losses in a row it
        fails. A loss counts only if the job `was_started`.
        """
        if job.state == "cancelling":
            self.finish(job, None)
            return
        if job.losses + 1 > MAX_LOSSES:
            self.finish(job, None, f"vanished {MAX_LOSSES + 1} times")
            return
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "UPDATE jobs SET state = 'queued', losses = losses + ?"
                " WHERE job_id = ? AND attempt = ? AND state = 'running'",
                (int(was_started), job.job_id, job.attempt),
            )
            if cursor.rowcount:
                _add_event(connection, job.job_id, "lost", "server", "queued again")

    def expire(self, before: str, limit: int) -> list[JobRecord]:
        """Deletes the records of jobs that ended before a time, at most so many; returns them."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                f"SELECT * FROM jobs WHERE state IN ({', '.join('?' * len(FINAL))}) AND ended < ?"
                " ORDER BY ended LIMIT ?",
                (*FINAL, before, limit),
            ).fetchall()
            for table in ("idempotency_keys", "events", "jobs"):
                connection.executemany(
                    f"DELETE FROM {table} WHERE job_id = ?", [(row["job_id"],) for row in rows]
                )
        return [JobRecord(**row) for row in rows]

    def cancel(self, job_id: str, who: str, reason: str) -> JobRecord:
        """Cancels a job that has not ended; raises `QueueError` if it has."""
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "UPDATE jobs SET state = CASE state WHEN 'queued' THEN 'cancelled' ELSE"
                " 'cancelling' END, ended = CASE state WHEN 'queued' THEN ? END,"
                " cancelled_by = ?, cancel_reason = ?"
                " WHERE job_id = ? AND state IN ('queued', 'running')",
                (timestamp(), who, reason, job_id),
            )
            if cursor.rowcount:
                _add_event(connection, job_id, "cancel", who, reason)
        job = self.get(job_id)
        if not cursor.rowcount and job.state not in ("cancelling", "cancelled"):
            raise QueueError(f"the job has ended: it is {job.state}", 409)
        return job

    def retry(self, job_id: str, who: str, max_queued: int) -> JobRecord:
        """Queues a job again that has ended; it resumes where it stopped."""
        with self._database.transaction() as connection:
            _check_queue_limit(connection, who, max_queued)
            cursor = connection.execute(
                "UPDATE jobs SET state = 'queued', losses = 0, cancelled_by = NULL,"
                " cancel_reason = NULL WHERE job_id = ?"
                " AND state IN ('cancelled', 'failed', 'stopped', 'done')",
                (job_id,),
            )
            if cursor.rowcount:
                _add_event(connection, job_id, "retry", who)
        job = self.get(job_id)
        if not cursor.rowcount:
            raise QueueError(f"only a job that has ended can be retried; it is {job.state}", 409)
        return job


def _check_queue_limit(connection: sqlite3.Connection, owner: str, max_queued: int) -> None:
    (queued,) = connection.execute(
        "SELECT count(*) FROM jobs WHERE owner = ? AND state = 'queued'", (owner,)
    ).fetchone()
    if queued >= max_queued:
        raise QueueError(f"{queued} of your jobs are queued already; let some finish first", 429)


def _add_event(
    connection: sqlite3.Connection, job_id: str, kind: str, who: str, detail: str = ""
) -> None:
    connection.execute(
        "INSERT INTO events (job_id, at, kind, who, detail) VALUES (?, ?, ?, ?, ?)",
        (job_id, timestamp(), kind, who, detail),
    )
