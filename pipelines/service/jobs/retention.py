"""Deletes what nobody needs any more: jobs that ended long ago with their files, old previews.

Records go before files, so that no job is shown whose files are gone; files without a record, which
a kill in between leaves, go with a later round. Each deletion is a line of the audit log.
"""

from __future__ import annotations

import shutil
import time
from datetime import timedelta
from pathlib import Path

from pipelines.service.audit import AuditLog
from pipelines.service.database import timestamp
from pipelines.service.jobs.queue import JobQueue
from pipelines.service.previews import Previews

_INTERVAL_S = 3600.0
_MAX_JOBS = 100
"""Jobs of one round, so that others are still started and stopped."""


class Retention:
    """What one server deletes; a job that has not ended is never touched."""

    def __init__(
        self, keep_days: float | None, queue: JobQueue, jobs: Path, previews: Previews,
        audit: AuditLog,
    ) -> None:  # fmt: skip
        """`keep_days` of None keeps everything."""
        self._keep_days = keep_days
        self._queue = queue
        self._jobs = jobs
        self._previews = previews
        self._audit = audit
        self._next_at = 0.0

    def tick(self) -> None:
        """A round, if one is due."""
        if self._keep_days is not None and time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + _INTERVAL_S
            if not self.delete(self._keep_days):
                self._next_at = 0.0

    def delete(self, keep_days: float) -> bool:
        """Deletes what is older than that; whether nothing is left to delete."""
        jobs = self._queue.expire(timestamp(-timedelta(days=keep_days)), _MAX_JOBS)
        for job in jobs:
            self._audit.record(
                caller="server", detail="deleted by age", job=job.job_id, kind=job.kind,
                collection=job.collection, owner=job.owner, state=job.state, ended=job.ended,
            )  # fmt: skip
            shutil.rmtree(self._jobs / job.job_id, ignore_errors=True)
        if len(jobs) == _MAX_JOBS:
            return False
        oldest = time.time() - keep_days * 86_400
        for folder in self._jobs.glob("*"):
            if folder.stat().st_mtime < oldest and not self._queue.exists(folder.name):
                shutil.rmtree(folder, ignore_errors=True)
        if count := self._previews.expire(keep_days):
            self._audit.record(caller="server", detail="deleted by age", previews=count)
        return True
