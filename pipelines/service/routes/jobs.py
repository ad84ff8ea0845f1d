"""Routes of jobs: plan, submit, list, watch, log, cancel, retry, artefacts."""

from __future__ import annotations

import json
from pathlib import Path as FilePath
from typing import Annotated

import anyio.to_thread
from fastapi import FastAPI, Header, HTTPException, Path, Query, Request, Response
from starlette.responses import StreamingResponse

from curation.storage import Storage
from pipelines.service import byte_ranges, sse
from pipelines.service.api_keys import Caller
from pipelines.service.auth import Reader, Submitter
from pipelines.service.jobs import estimate
from pipelines.service.jobs.commands import named
from pipelines.service.jobs.local_backend import read_json
from pipelines.service.jobs.queue import Job, QueueError
from pipelines.service.jobs.views import job_view
from pipelines.service.schemas import (
    FINAL,
    Artefact,
    Cancel,
    Event,
    JobList,
    JobView,
    Name,
    Plan,
    State,
    Wish,
)
from pipelines.service.service import Service

JobId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")]
_Seq = Annotated[int, Query(ge=0, le=2**62)]
_TEXT = "text/plain; charset=utf-8"


def add(app: FastAPI, service: Service) -> None:
    """Adds the routes."""
    _add_submission(app, service)
    _add_reading(app, service)
    _add_changes(app, service)
    _add_files(app, service)


def _add_submission(app: FastAPI, service: Service) -> None:
    queue, limits = service.queue, service.settings.limits

    @app.post("/v1/plan")
    def plan_job(wish: Wish, caller: Submitter) -> Plan:
        """What a job would do and cost; nothing is started."""
        command = service.orders.command(wish, caller)
        profile = service.orders.profile(wish, caller)
        entries, new = estimate.inputs(service.orders.inputs(wish), wish, service.outputs)
        steps, rates = estimate.estimates(wish, profile, new, service.outputs)
        known = [step.seconds for step in steps.values() if step.seconds is not None]
        return Plan(
            command=named(command, service.settings, service.outputs),
            config=profile.resolved,
            inputs=len(entries),
            new_inputs=len(new),
            new_bytes=sum(entry.size_bytes for entry in new),
            steps=steps,
            seconds=sum(known) if steps and len(known) == len(steps) else None,
            measured_on=list(rates.of),
        )

    @app.post("/v1/jobs", status_code=201)
    def submit(
        wish: Wish,
        caller: Submitter,
        response: Response,
        idempotency_key: Annotated[
            str | None, Header(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")
        ] = None,
    ) -> JobView:
        """Queues a job: 201, or 200 where this Idempotency-Key has made it already."""
        command = service.orders.command(wish, caller)
        job, new = queue.submit(caller.name, wish, command, idempotency_key, limits.waiting_each)
        service.supervisor.wake()
        response.status_code = 201 if new else 200
        response.headers["Location"] = f"/v1/jobs/{job.job_id}"
        return job_view(job, service.folder(job.job_id))


def _add_reading(app: FastAPI, service: Service) -> None:
    queue = service.queue

    @app.get("/v1/jobs")
    def list_jobs(
        caller: Reader,
        state: State | None = None,
        collection: Annotated[Name | None, Query()] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        before: Annotated[str | None, Query(pattern=r"^\d{1,18}$")] = None,
    ) -> JobList:
        """Jobs, newest first."""
        found = queue.newest(limit, None if before is None else int(before), state, collection)
        views = [job_view(job, service.folder(job.job_id)) for job in found]
        return JobList(jobs=views, next=str(found[-1].seq) if len(found) == limit else None)

    @app.get("/v1/jobs/{job_id}")
    def get_job(job_id: JobId, caller: Reader) -> JobView:
        """One job as it is now, with the counts, rates and times left of its steps."""
        return job_view(queue.get(job_id), service.folder(job_id))

    @app.get("/v1/jobs/{job_id}/events")
    def get_events(
        job_id: JobId, caller: Reader, after: _Seq = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    ) -> list[Event]:  # fmt: skip
        """What happened to the job, in order."""
        return queue.events(queue.get(job_id).job_id, after, limit)

    @app.get("/v1/jobs/{job_id}/watch", response_class=StreamingResponse)
    async def watch_job(job_id: JobId, caller: Reader) -> StreamingResponse:
        """The job whenever it changes, as server-sent events, until it has ended."""

        def look() -> tuple[str, bool]:
            view = job_view(queue.get(job_id), service.folder(job_id))
            return view.model_dump_json(), view.state in FINAL

        await anyio.to_thread.run_sync(look)  # 404 before the answer begins
        stream = sse.changes(look, service.settings.limits.stream_s)
        return sse.answer(stream, service.streams, "text/event-stream")


def _add_changes(app: FastAPI, service: Service) -> None:
    queue, limits = service.queue, service.settings.limits

    @app.post("/v1/jobs/{job_id}/cancel")
    def cancel(job_id: JobId, caller: Submitter, why: Cancel | None = None) -> JobView:
        """Cancels a job: its processes are gone within five seconds. Again is no mistake."""
        _check_own(queue.get(job_id), caller)
        job = queue.cancel(job_id, caller.name, why.reason if why else "")
        service.supervisor.wake()
        return job_view(job, service.folder(job_id))

    @app.post("/v1/jobs/{job_id}/retry")
    def retry(job_id: JobId, caller: Submitter) -> JobView:
        """Queues a job again that has ended; what it had done is not done again."""
        _check_own(queue.get(job_id), caller)
        job = queue.retry(job_id, caller.name, limits.waiting_each)
        service.supervisor.wake()
        return job_view(job, service.folder(job_id))


def _check_own(job: Job, caller: Caller) -> None:
    if job.owner != caller.name and not caller.may("admin"):
        raise QueueError("the job is somebody else's; an admin may change it", 403)


def _add_files(app: FastAPI, service: Service) -> None:
    queue = service.queue

    @app.get("/v1/jobs/{job_id}/log", response_class=Response)
    def get_log(
        job_id: JobId, caller: Reader, request: Request,
        tail: Annotated[int | None, Query(ge=1, le=10_000)] = None,
    ) -> Response:  # fmt: skip
        """What the job said: all of it, a `Range` of bytes, or its last lines."""
        log = service.folder(job_id).log
        wanted = request.headers.get("range")
        if not log.exists():
            return Response(b"", media_type=_TEXT)
        if tail is not None:
            with open(log, "rb") as file:
                wanted = f"bytes={byte_ranges.tail_start(file, tail)}-"
                if wanted == f"bytes={file.seek(0, 2)}-":
                    return Response(b"", media_type=_TEXT)
        return byte_ranges.file(Storage.at(log.parent), log.name, wanted, _TEXT)

    @app.get("/v1/jobs/{job_id}/log/follow", response_class=StreamingResponse)
    async def follow_log(
        job_id: JobId, caller: Reader, start: Annotated[int, Query(ge=0, le=2**62)] = 0
    ) -> StreamingResponse:
        """The log from a byte on, and what comes, until the job has ended."""
        log = service.folder(job_id).log
        stream = sse.growing(
            log, start, lambda: queue.get(job_id).state in FINAL, service.settings.limits.stream_s
        )
        return sse.answer(stream, service.streams, _TEXT)

    @app.get("/v1/jobs/{job_id}/artefacts")
    def list_artefacts(job_id: JobId, caller: Reader) -> list[Artefact]:
        """The files that the job made for people to fetch."""
        return [artefact for _, artefact in _artefacts(service, job_id)]

    @app.get("/v1/jobs/{job_id}/artefacts/{artefact_id}", response_class=Response)
    def get_artefact(
        job_id: JobId, artefact_id: JobId, caller: Reader, request: Request
    ) -> Response:
        """One of them."""
        for folder, artefact in _artefacts(service, job_id):
            if artefact.artefact_id == artefact_id:
                name = json.dumps(artefact.name.rsplit("/", 1)[-1])
                said = {
                    "Content-Disposition": f"attachment; filename={name}",
                    "ETag": f'"{artefact.sha256}"',
                }
                wanted = request.headers.get("range")
                kind = "application/octet-stream"
                return byte_ranges.file(Storage.at(folder), artefact.name, wanted, kind, said)
        raise HTTPException(404, "the job has no such artefact")


def _artefacts(service: Service, job_id: str) -> list[tuple[FilePath, Artefact]]:
    folder = service.folder(job_id)
    job = service.queue.get(job_id)
    said = read_json(folder.attempt(job.attempt) / "artefacts.json") or []
    return [(folder.artefacts, Artefact(**entry)) for entry in said]
