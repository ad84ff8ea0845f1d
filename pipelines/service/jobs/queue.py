"""The queue of jobs: who asked for what, what became of it, and every event on the way.

States: `queued` → `running` → `done`, `failed` or `stopped`; a cancel makes `queued` → `cancelled`
and `running` → `cancelling` → `cancelled`. Each change and its event are one transaction, and holds
only from the states it may come from, so that of two that race one wins and the other is told.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from curation.errors import ReelmillError
from pipelines.service.database import Database, now
from pipelines.service.schemas import Event, Kind, State, Wish

MOST_LOSSES = 3
"""How often a job that vanished is started again by itself."""
MEANINGS = {
    0: "all accounted for",
    1: "failed",
    2: "refused: the log says why",
    3: "finished, but some inputs failed",
    4: "stopped; retry goes on from there",
}
"""Exit codes of the command line."""
_ENDS: dict[int, State] = {0: "done", 3: "done", 4: "stopped"}


class QueueError(ReelmillError, ValueError):
    """What was asked of the queue cannot be; `status` is the HTTP status that says so."""

    def __init__(self, words: str, status: int) -> None:
        super().__init__(words)
        self.status = status


@dataclass(frozen=True)
class Job:
    """One job as it is remembered."""

    seq: int
    job_id: str
    owner: str
    kind: Kind
    collection: str
    wish: str
    """As JSON."""
    command: str
    """What the runner runs, as JSON."""
    priority: int
    state: State
    attempt: int
    losses: int
    created: str
    started: str | None
    ended: str | None
    exit_code: int | None
    error: str | None
    cancelled_by: str | None
    cancel_reason: str | None


class Queue:
    """The jobs of one server."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def submit(
        self, owner: str, wish: Wish, command: Sequence[str], key: str | None, most_waiting: int
    ) -> tuple[Job, bool]:
        """Adds a job, or finds the one that this key has made; and whether it is new.

        `{job}` in the command is the job's id. Raises `QueueError` for a key that was used for
        something else, and for too many jobs that wait.
        """
        asked = wish.model_dump_json()
        digest = hashlib.sha256(asked.encode()).hexdigest()
        if key is not None and (known := self._known(owner, key, digest)):
            return known, False
        with self._database.writing() as connection:
            if key is not None and (known := self._known(owner, key, digest)):
                return known, False
            _check_room(connection, owner, most_waiting)
            job_id = secrets.token_hex(8)
            line = [word.replace("{job}", job_id) for word in command]
            connection.execute(
                "INSERT INTO jobs (job_id, owner, kind, collection, wish, command, priority, state,"
                " created) VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', ?)",
                (job_id, owner, wish.kind, wish.collection, asked, json.dumps(line),
                 wish.priority, now()),
            )  # fmt: skip
            if key is not None:
                connection.execute(
                    "INSERT INTO keys VALUES (?, ?, ?, ?)", (owner, key, digest, job_id)
                )
            _say(connection, job_id, "queued", owner)
        return self.get(job_id), True

    def _known(self, owner: str, key: str, digest: str) -> Job | None:
        row = self._database.row("SELECT * FROM keys WHERE owner = ? AND key = ?", owner, key)
        if row is None:
            return None
        if row["digest"] != digest:
            raise QueueError("this Idempotency-Key was used for another job; take a new one", 422)
        return self.get(row["job_id"])

    def get(self, job_id: str) -> Job:
        """One job; `QueueError` if there is none."""
        row = self._database.row("SELECT * FROM jobs WHERE job_id = ?", job_id)
        if row is None:
            raise QueueError("there is no such job", 404)
        return Job(**row)

    def newest(
        self, limit: int, before: int | None = None, state: str | None = None,
        collection: str | None = None,
    ) -> list[Job]:  # fmt: skip
        """Jobs, newest first; those older than `before`, a `seq`."""
        rows = self._database.rows(
            "SELECT * FROM jobs WHERE (?1 IS NULL OR seq < ?1) AND (?2 IS NULL OR state = ?2)"
            " AND (?3 IS NULL OR collection = ?3) ORDER BY seq DESC LIMIT ?4",
            before, state, collection, limit,
        )  # fmt: skip
        return [Job(**row) for row in rows]

    def live(self) -> list[Job]:
        """Jobs that were started and have not ended as far as is known."""
        rows = self._database.rows(
            "SELECT * FROM jobs WHERE state IN ('running', 'cancelling') ORDER BY seq"
        )
        return [Job(**row) for row in rows]

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        rows = self._database.rows("SELECT state, count(*) AS jobs FROM jobs GROUP BY state")
        return {row["state"]: row["jobs"] for row in rows}

    def events(self, job_id: str, after: int = 0, limit: int = 1000) -> list[Event]:
        """What happened to a job, in order."""
        rows = self._database.rows(
            "SELECT seq, at, kind, who, detail FROM events WHERE job_id = ? AND seq > ?"
            " ORDER BY seq LIMIT ?",
            job_id, after, limit,
        )  # fmt: skip
        return [Event(**row) for row in rows]

    def start_next(self, running: int, each: int) -> Job | None:
        """Marks the job that is to start next as running, if there is room for one.

        The highest priority first, then the oldest; one job at a time for a collection, for its
        tables have one writer.
        """
        with self._database.writing() as connection:
            row = connection.execute(
                "WITH live AS (SELECT * FROM jobs WHERE state IN ('running', 'cancelling'))"
                " SELECT job_id FROM jobs WHERE state = 'queued'"
                " AND (SELECT count(*) FROM live) < ?"
                " AND collection NOT IN (SELECT collection FROM live)"
                " AND (SELECT count(*) FROM live WHERE live.owner = jobs.owner) < ?"
                " ORDER BY priority DESC, seq LIMIT 1",
                (running, each),
            ).fetchone()
            if row is None:
                return None
            connection.execute(
                "UPDATE jobs SET state = 'running', attempt = attempt + 1, started = ?,"
                " ended = NULL, exit_code = NULL, error = NULL WHERE job_id = ?",
                (now(), row["job_id"]),
            )
            _say(connection, row["job_id"], "started", "server")
        return self.get(row["job_id"])

    def end(self, job: Job, code: int | None, error: str | None = None) -> None:
        """Records how a command ended: by its exit code, or by an error that kept it from one."""
        state = _ENDS.get(code, "failed") if code is not None else "failed"
        if job.state == "cancelling" and state != "done":
            state = "cancelled"
        words = error or (
            MEANINGS.get(code, f"ended by signal {-code}") if code is not None else ""
        )
        with self._database.writing() as connection:
            changed = connection.execute(
                "UPDATE jobs SET state = ?, ended = ?, exit_code = ?, error = ?"
                " WHERE job_id = ? AND attempt = ? AND state = ?",
                (state, now(), code, None if state in ("done", "cancelled") else words,
                 job.job_id, job.attempt, job.state),
            )  # fmt: skip
            if changed.rowcount:
                _say(connection, job.job_id, state, "server", words)

    def lose(self, job: Job, began: bool) -> None:
        """Records that a job is gone without a word: killed, or the machine went down.

        What it had done is in its tables, so it is queued again; after some losses in a row it
        counts as failed. One that had not `began` to run does not count as a loss.
        """
        if job.state == "cancelling":
            self.end(job, None)
            return
        if job.losses + 1 > MOST_LOSSES:
            self.end(job, None, f"vanished {MOST_LOSSES + 1} times")
            return
        with self._database.writing() as connection:
            changed = connection.execute(
                "UPDATE jobs SET state = 'queued', losses = losses + ?"
                " WHERE job_id = ? AND attempt = ? AND state = 'running'",
                (int(began), job.job_id, job.attempt),
            )
            if changed.rowcount:
                _say(connection, job.job_id, "lost", "server", "queued again")

    def cancel(self, job_id: str, who: str, reason: str) -> Job:
        """Cancels a job that has not ended; raises `QueueError` if it has."""
        with self._database.writing() as connection:
            changed = connection.execute(
                "UPDATE jobs SET state = CASE state WHEN 'queued' THEN 'cancelled' ELSE"
                " 'cancelling' END, ended = CASE state WHEN 'queued' THEN ? END,"
                " cancelled_by = ?, cancel_reason = ?"
                " WHERE job_id = ? AND state IN ('queued', 'running')",
                (now(), who, reason, job_id),
            )
            if changed.rowcount:
                _say(connection, job_id, "cancel", who, reason)
        job = self.get(job_id)
        if not changed.rowcount and job.state not in ("cancelling", "cancelled"):
            raise QueueError(f"the job has ended: it is {job.state}", 409)
        return job

    def retry(self, job_id: str, who: str, most_waiting: int) -> Job:
        """Queues a job again that has ended; it goes on where it stopped."""
        with self._database.writing() as connection:
            _check_room(connection, who, most_waiting)
            changed = connection.execute(
                "UPDATE jobs SET state = 'queued', losses = 0, cancelled_by = NULL,"
                " cancel_reason = NULL WHERE job_id = ?"
                " AND state IN ('cancelled', 'failed', 'stopped', 'done')",
                (job_id,),
            )
            if changed.rowcount:
                _say(connection, job_id, "retry", who)
        job = self.get(job_id)
        if not changed.rowcount:
            raise QueueError(f"only a job that has ended can be retried; it is {job.state}", 409)
        return job


def _check_room(connection: sqlite3.Connection, owner: str, most_waiting: int) -> None:
    (waiting,) = connection.execute(
        "SELECT count(*) FROM jobs WHERE owner = ? AND state = 'queued'", (owner,)
    ).fetchone()
    if waiting >= most_waiting:
        raise QueueError(f"{waiting} of your jobs wait already; let some finish first", 429)


def _say(
    connection: sqlite3.Connection, job_id: str, kind: str, who: str, detail: str = ""
) -> None:
    connection.execute(
        "INSERT INTO events (job_id, at, kind, who, detail) VALUES (?, ?, ?, ?, ?)",
        (job_id, now(), kind, who, detail),
    )
