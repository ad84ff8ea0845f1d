"""Keeps the queue and what runs in step: starts jobs, sees them end, stops what is cancelled.

It remembers nothing itself. Each round compares what the database says with what the backend sees,
so that a server started after a kill goes on from wherever the one before was.
"""

from __future__ import annotations

import logging
import threading

from curation.errors import InfrastructureError
from pipelines.service.jobs.local_backend import Backend, Lost
from pipelines.service.jobs.queue import Job, Queue

_ROUND_S = 0.2
_log = logging.getLogger("reelmill.service")


class Supervisor:
    """A thread that goes its rounds."""

    def __init__(self, queue: Queue, backend: Backend, running: int, each: int) -> None:
        self._queue = queue
        self._backend = backend
        self._running = running
        self._each = each
        self._wake = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._rounds, name="supervisor", daemon=True)

    def start(self) -> None:
        """Begins the rounds."""
        self._thread.start()

    def close(self) -> None:
        """Ends them; what runs goes on."""
        self._over = True
        self._wake.set()
        self._thread.join()

    def wake(self) -> None:
        """There is something to do: the next round is now."""
        self._wake.set()

    def round(self) -> None:
        """One round."""
        for job in self._queue.live():
            self._look_after(job)
        while self._backend.ready() and (job_ := self._queue.start_next(self._running, self._each)):
            try:
                self._backend.start(job_)
            except OSError as error:
                self._queue.end(job_, None, f"cannot be started: {error}")

    def _look_after(self, job: Job) -> None:
        try:
            ended = self._backend.look(job)
        except Lost as lost:
            self._queue.lose(job, lost.began)
            return
        if ended is not None:
            self._queue.end(job, ended.code, ended.error)
        elif job.state == "cancelling":
            self._backend.stop(job)

    def _rounds(self) -> None:
        said = ""
        while not self._over:
            try:
                self.round()
                said = ""
            except InfrastructureError as error:  # once, not with every round that it lasts
                if str(error) != said:
                    said = str(error)
                    _log.warning("%s; jobs wait", said)
            except Exception:  # a full disk: the next round may fare better
                _log.exception("a round of the supervisor failed")
            self._wake.wait(_ROUND_S)
            self._wake.clear()
