"""Routes of jobs: plan, submit, list, watch, log, cancel, retry, artefacts."""

from __future__ import annotations

import json
from pathlib import Path as FilePath
from typing import Annotated

import anyio.to_thread
from fastapi import FastAPI, Header, HTTPException, Path, Query, Request, Response
from starlette.responses import StreamingResponse

from curation.storage import Storage
from pipelines.service.api_keys import Caller
from pipelines.service.auth import Reader, Submitter
from pipelines.service.byte_ranges import file_response, tail_start
from pipelines.service.jobs import estimate
from pipelines.service.jobs.commands import display_command
from pipelines.service.jobs.local_backend import read_json
from pipelines.service.jobs.queue import JobRecord, QueueError
from pipelines.service.jobs.views import job_view
from pipelines.service.schemas import (
    FINAL,
    JOB_KINDS,
    Artefact,
    CancelRequest,
    JobEvent,
    JobKindInfo,
    JobList,
    JobPlan,
    JobRequest,
    JobState,
    JobView,
    Name,
)
from pipelines.service.service import Service
from pipelines.service.sse import LimitedStream, follow_file, server_sent_events

JobId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")]
_Seq = Annotated[int, Query(ge=0, le=2**62)]
_TEXT = "text/plain; charset=utf-8"


def add(app: FastAPI, service: Service) -> None:
    """Adds the routes."""
    _add_submission(app, service)
    _add_views(app, service)
    _add_changes(app, service)
    _add_files(app, service)


def _add_submission(app: FastAPI, service: Service) -> None:
    commands, outputs, limits = service.commands, service.outputs, service.settings.limits

    @app.post("/v1/plan")
    @service.computations.route
    def plan_job(request: JobRequest, caller: Submitter) -> JobPlan:
        """What a job would do and cost; nothing is started."""
        command = commands.command(request, caller)
        profile = commands.profile(request, caller)
        entries, new = estimate.find_inputs(commands.input_uris(request), request, profile, outputs)
        steps, rates = estimate.estimate_steps(request, profile, new, outputs)
        seconds = [step.seconds for step in steps.values() if step.seconds is not None]
        return JobPlan(
            command=display_command(command, service.settings, outputs),
            config=profile.resolved,
            inputs=len(entries),
            new_inputs=len(new),
            new_bytes=sum(item.entry.size_bytes for item in new),
            steps=steps,
            seconds=sum(seconds) if steps and len(seconds) == len(steps) else None,
            measured_on=list(rates.collections),
        )

    @app.post("/v1/jobs", status_code=201)
    def submit(
        request: JobRequest,
        caller: Submitter,
        response: Response,
        idempotency_key: Annotated[
            str | None, Header(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")
        ] = None,
    ) -> JobView:
        """Queues a job: 201, or 200 if this Idempotency-Key has made it already."""
        highest = limits.priority[caller.scope]
        if request.priority > highest:
            raise HTTPException(403, f"your scope, {caller.scope}, may give priorities up to"
                                     f" {highest}")  # fmt: skip
        command = commands.command(request, caller)
        job, is_new = service.queue.submit(
            caller.name, request, command, idempotency_key, limits.queued_per_caller
        )
        service.supervisor.wake()
        response.status_code = 201 if is_new else 200
        response.headers["Location"] = f"/v1/jobs/{job.job_id}"
        return job_view(job, service.job_folder(job.job_id))


def _add_views(app: FastAPI, service: Service) -> None:
    queue = service.queue

    @app.get("/v1/kinds")
    def list_kinds(caller: Reader) -> list[JobKindInfo]:
        """The kinds of jobs, and what each can be given."""
        return list(JOB_KINDS.values())

    @app.get("/v1/jobs")
    def list_jobs(
        caller: Reader,
        state: JobState | None = None,
        collection: Annotated[Name | None, Query()] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        before: Annotated[str | None, Query(pattern=r"^\d{1,18}$")] = None,
    ) -> JobList:
        """Jobs, newest first."""
        jobs = queue.newest(limit, None if before is None else int(before), state, collection)
        views = [job_view(job, service.job_folder(job.job_id)) for job in jobs]
        return JobList(jobs=views, next=str(jobs[-1].seq) if len(jobs) == limit else None)

    @app.get("/v1/jobs/{job_id}")
    def get_job(job_id: JobId, caller: Reader) -> JobView:
        """One job as it is now, with the counts, rates and remaining time of its steps."""
        return job_view(queue.get(job_id), service.job_folder(job_id))

    @app.get("/v1/jobs/{job_id}/events")
    def get_events(
        job_id: JobId, caller: Reader, after: _Seq = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    ) -> list[JobEvent]:  # fmt: skip
        """The events of a job, in order."""
        return queue.events(queue.get(job_id).job_id, after, limit)

    @app.get("/v1/jobs/{job_id}/watch", response_class=StreamingResponse)
    async def watch_job(job_id: JobId, caller: Reader) -> StreamingResponse:
        """The job whenever it changes, as server-sent events, until it has ended."""

        def poll() -> tuple[str, bool]:
            view = job_view(queue.get(job_id), service.job_folder(job_id))
            return view.model_dump_json(), view.state in FINAL

        await anyio.to_thread.run_sync(poll)  # 404 before the response starts
        stream = server_sent_events(poll, service.settings.limits.stream_s)
        return LimitedStream(stream, service.streams, caller, "text/event-stream")


def _add_changes(app: FastAPI, service: Service) -> None:
    queue, limits = service.queue, service.settings.limits

    @app.post("/v1/jobs/{job_id}/cancel")
    def cancel(job_id: JobId, caller: Submitter, body: CancelRequest | None = None) -> JobView:
        """Cancels a job: its processes end within five seconds. Repeating it is no error."""
        _check_owner(queue.get(job_id), caller)
        job = queue.cancel(job_id, caller.name, body.reason if body else "")
        service.supervisor.wake()
        return job_view(job, service.job_folder(job_id))

    @app.post("/v1/jobs/{job_id}/retry")
    def retry(job_id: JobId, caller: Submitter) -> JobView:
        """Queues a job again that has ended; what it had done is not done again."""
        _check_owner(queue.get(job_id), caller)
        job = queue.retry(job_id, caller.name, limits.queued_per_caller)
        service.supervisor.wake()
        return job_view(job, service.job_folder(job_id))


def _check_owner(job: JobRecord, caller: Caller) -> None:
    if job.owner != caller.name and not caller.may("admin"):
        raise QueueError("another caller's job; an admin may change it", 403)


def _add_files(app: FastAPI, service: Service) -> None:
    queue = service.queue

    @app.get("/v1/jobs/{job_id}/log", response_class=Response)
    def get_log(
        job_id: JobId, caller: Reader, request: Request,
        tail: Annotated[int | None, Query(ge=1, le=10_000)] = None,
    ) -> Response:  # fmt: skip
        """The job's log: all of it, a `Range` of bytes, or its last lines."""
        log = service.job_folder(job_id).log
        range_header = request.headers.get("range")
        if not log.exists():
            return Response(b"", media_type=_TEXT)
        if tail is not None:
            with open(log, "rb") as file:
                start, size = tail_start(file, tail), file.seek(0, 2)
            if start == size:
                return Response(b"", media_type=_TEXT)
            range_header = f"bytes={start}-"
        return file_response(Storage.at(log.parent), log.name, range_header, _TEXT)

    @app.get("/v1/jobs/{job_id}/log/follow", response_class=StreamingResponse)
    async def follow_log(
        job_id: JobId, caller: Reader, start: Annotated[int, Query(ge=0, le=2**62)] = 0
    ) -> StreamingResponse:
        """The log from a byte on, as it grows, until the job has ended."""
        log = service.job_folder(job_id).log
        max_s = service.settings.limits.stream_s
        stream = follow_file(log, start, lambda: queue.get(job_id).state in FINAL, max_s)
        return LimitedStream(stream, service.streams, caller, _TEXT)

    @app.get("/v1/jobs/{job_id}/artefacts")
    def list_artefacts(job_id: JobId, caller: Reader) -> list[Artefact]:
        """The files that the job made for download."""
        return _artefacts(service, job_id)[1]

    @app.get("/v1/jobs/{job_id}/artefacts/{artefact_id}", response_class=Response)
    def get_artefact(
        job_id: JobId, artefact_id: JobId, caller: Reader, request: Request
    ) -> Response:
        """One artefact."""
        folder, artefacts = _artefacts(service, job_id)
        for artefact in artefacts:
            if artefact.artefact_id == artefact_id:
                name = json.dumps(artefact.name.rsplit("/", 1)[-1])
                headers = {
                    "Content-Disposition": f"attachment; filename={name}",
                    "ETag": f'"{artefact.sha256}"',
                }
                return file_response(
                    Storage.at(folder), artefact.name, request.headers.get("range"),
                    "application/octet-stream", headers,
                )  # fmt: skip
        raise HTTPException(404, "the job has no such artefact")


def _artefacts(service: Service, job_id: str) -> tuple[FilePath, list[Artefact]]:
    """Their folder and descriptions."""
    folder, job = service.job_folder(job_id), service.queue.get(job_id)
    rows = read_json(folder.attempt_folder(job.attempt) / "artefacts.json") or []
    return folder.artefacts, [Artefact(**row) for row in rows]
