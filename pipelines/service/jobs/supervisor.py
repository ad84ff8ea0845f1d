"""Keeps the queue and its backend in step: starts jobs, records their ends, stops cancelled ones.

It has no state of its own. Each round compares the database with the backend, so that a server
started after a kill continues where the last one was.
"""

from __future__ import annotations

import logging
import threading

from curation.errors import InfrastructureError
from pipelines.service.jobs.local_backend import AttemptLostError, Backend
from pipelines.service.jobs.queue import JobQueue, JobRecord
from pipelines.service.jobs.retention import Retention

_TICK_S = 0.2
_log = logging.getLogger("reelmill.service")


class Supervisor:
    """A thread that runs rounds."""

    def __init__(
        self, queue: JobQueue, backend: Backend, max_running: int, max_per_owner: int,
        retention: Retention | None = None,
    ) -> None:  # fmt: skip
        self._queue = queue
        self._retention = retention
        self._backend = backend
        self._limits = max_running, max_per_owner
        self._wake = threading.Event()
        self._is_closed = False
        self._thread = threading.Thread(target=self._loop, name="supervisor", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread; running jobs continue."""
        self._is_closed = True
        self._wake.set()
        self._thread.join()

    def wake(self) -> None:
        """Starts the next round now."""
        self._wake.set()

    def tick(self) -> None:
        """One round."""
        for job in self._queue.active():
            self._update(job)
        while self._backend.is_ready() and (next_job := self._queue.start_next(*self._limits)):
            try:
                self._backend.start(next_job)
            except OSError as error:
                self._queue.finish(next_job, None, f"cannot be started: {error}")
        if self._retention is not None:
            self._retention.tick()

    def _update(self, job: JobRecord) -> None:
        try:
            result = self._backend.poll(job)
        except AttemptLostError as lost:
            self._queue.mark_lost(job, lost.was_started)
            return
        if result is not None:
            self._queue.finish(job, result.exit_code, result.error)
        elif job.state == "cancelling":
            self._backend.stop(job)

    def _loop(self) -> None:
        logged = ""
        while not self._is_closed:
            try:
                self.tick()
                logged = ""
            except InfrastructureError as error:
                if str(error) != logged:  # once, not with every round
                    logged = str(error)
                    _log.warning("%s; jobs wait", logged)
            except Exception:  # such as a full disk: the next round may succeed
                _log.exception("a round of the supervisor failed")
            self._wake.wait(_TICK_S)
            self._wake.clear()
