"""All parts of one server, put together."""

from __future__ import annotations

import fcntl
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from curation.errors import ReelmillError
from pipelines.service.api_keys import Tokens
from pipelines.service.database import Database
from pipelines.service.jobs.commands import Orders
from pipelines.service.jobs.local_backend import JobFolder, Local
from pipelines.service.jobs.queue import Queue
from pipelines.service.jobs.supervisor import Supervisor
from pipelines.service.metrics import Metrics
from pipelines.service.outputs import Outputs
from pipelines.service.previews import Previews
from pipelines.service.settings import Settings


class StateInUseError(ReelmillError, ValueError):
    """Another server has taken the state."""


@dataclass(frozen=True)
class Service:
    """What the routes use."""

    settings: Settings
    tokens: Tokens
    queue: Queue
    outputs: Outputs
    orders: Orders
    supervisor: Supervisor
    metrics: Metrics
    previews: Previews
    streams: threading.BoundedSemaphore
    """One for each answer that is followed."""

    @classmethod
    def at(cls, settings: Settings) -> Service:
        """Puts a server together; nothing runs yet."""
        database = Database(database_file(settings.state))
        queue, outputs = Queue(database), Outputs(settings.root)
        jobs = settings.state / "jobs"
        if settings.ray_address:
            from pipelines.service.jobs.ray_backend import OnRayJobs

            backend: Local | OnRayJobs = OnRayJobs(
                jobs, settings.ray_address, settings.ray_environment, settings.root
            )
        else:
            backend = Local(jobs)
        limits = settings.limits
        return cls(
            settings=settings,
            tokens=Tokens(database),
            queue=queue,
            outputs=outputs,
            orders=Orders(settings, outputs, jobs),
            supervisor=Supervisor(queue, backend, settings.running, limits.running_each),
            metrics=Metrics(queue),
            previews=Previews(settings.state / "previews"),
            streams=threading.BoundedSemaphore(limits.streams),
        )

    def folder(self, job_id: str) -> JobFolder:
        """The files of a job that the queue knows."""
        return JobFolder(self.settings.state / "jobs" / self.queue.get(job_id).job_id)


def database_file(state: Path) -> Path:
    """The database of a server."""
    return state / "service.db"


def taken(state: Path) -> int:
    """Takes the state for this process alone, until it ends; raises `StateInUseError`."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = os.open(state / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise StateInUseError(
            f"another server uses {state}; give this one another --state"
        ) from None
    return fd
