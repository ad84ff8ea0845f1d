"""The parts of one server."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from fastapi import HTTPException

from curation.errors import ReelmillError
from curation.listing import is_below
from curation.web_files import is_web
from pipelines.service.api_keys import ApiKeys
from pipelines.service.audit import AuditLog
from pipelines.service.computations import Computations
from pipelines.service.database import Database
from pipelines.service.jobs.commands import CommandBuilder
from pipelines.service.jobs.local_backend import JobFolder, LocalBackend
from pipelines.service.jobs.queue import JobQueue
from pipelines.service.jobs.retention import Retention
from pipelines.service.jobs.supervisor import Supervisor
from pipelines.service.jobs.webhook import Webhook
from pipelines.service.metrics import Metrics
from pipelines.service.outputs import Outputs
from pipelines.service.previews import Previews
from pipelines.service.settings import ServerSettings
from pipelines.service.sse import StreamSlots


class StateInUseError(ReelmillError, ValueError):
    """Another server uses the state."""


@dataclass(frozen=True)
class Service:
    """The parts that the routes use."""

    settings: ServerSettings
    api_keys: ApiKeys
    queue: JobQueue
    outputs: Outputs
    commands: CommandBuilder
    supervisor: Supervisor
    webhook: Webhook | None
    metrics: Metrics
    previews: Previews
    computations: Computations
    streams: StreamSlots
    audit: AuditLog

    @classmethod
    def at(cls, settings: ServerSettings) -> Service:
        """Builds the parts of a server; nothing runs yet."""
        database = Database(database_file(settings.state))
        queue, outputs = JobQueue(database), Outputs(settings.root)
        jobs = settings.state / "jobs"
        if settings.ray_address:
            from pipelines.service.jobs.ray_backend import RayBackend

            backend: LocalBackend | RayBackend = RayBackend(
                jobs, settings.ray_address, settings.ray_environment, settings.root
            )
        else:
            backend = LocalBackend(jobs)
        limits = settings.limits
        audit = AuditLog(settings.state / "audit.jsonl")
        previews = Previews(settings.state / "previews")
        retention = Retention(settings.keep_days, queue, jobs, previews, audit)
        return cls(
            settings=settings,
            api_keys=ApiKeys(database),
            queue=queue,
            outputs=outputs,
            commands=CommandBuilder(settings, outputs, jobs),
            supervisor=Supervisor(
                queue, backend, settings.max_running, limits.running_per_caller, retention
            ),
            webhook=Webhook(
                settings.webhook, settings.webhook_secret, queue, settings.state / "webhook"
            )
            if settings.webhook
            else None,
            metrics=Metrics(queue, jobs),
            previews=previews,
            computations=Computations(limits),
            streams=StreamSlots(limits),
            audit=audit,
        )

    def check_source(self, uri: str) -> None:
        """Raises 403 for a source that is below none of the server's sources, 404 for the web's.

        Nothing is fetched from the web to answer a request: jobs do that.
        """
        if is_web(uri):
            raise HTTPException(404, "the source lies on the web; its renders are shown here")
        if not any(is_below(uri, root) for root in self.settings.sources.values()):
            raise HTTPException(
                403, "this source is below none of the server's sources; see `serve --source`"
            )

    def job_folder(self, job_id: str) -> JobFolder:
        """The files of a job that the queue knows."""
        return JobFolder(self.settings.state / "jobs" / self.queue.get(job_id).job_id)


def database_file(state: Path) -> Path:
    """The database of a server."""
    return state / "service.db"


def lock_state(state: Path) -> int:
    """Locks the state for this process until it ends; raises `StateInUseError`."""
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
