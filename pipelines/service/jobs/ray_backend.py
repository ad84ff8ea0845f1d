"""Jobs on a Ray cluster, through the REST interface of its Jobs API.

The cluster's head runs the same runner over the same folder, so that the state has to be on storage
that both can see; a runner that does not see its folder reports so and ends, and so does a worker
that sees other storage than the server (`pipelines.run.storage_check`). A submission is named by
the job's id and attempt: Ray accepts each name once, so that no attempt is started twice.

An unavailable cluster decides nothing: submissions of unknown outcome are looked up again, and jobs
wait. Only the server talks to Ray's dashboard, which the Jobs API is part of; callers never see it.
Plain HTTP and not Ray's own client, which takes seconds and 200 MB to import and has no timeout for
a cluster that no longer answers.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import httpx2

from curation.errors import InfrastructureError
from pipelines.run.ray_token import ray_token
from pipelines.run.storage_check import StorageMark
from pipelines.service.jobs.local_backend import AttemptLostError, AttemptResult, JobFolder
from pipelines.service.jobs.queue import JobRecord

_TERMINAL = {"STOPPED", "SUCCEEDED", "FAILED"}
_REQUEST_TIMEOUT_S = 20.0
_RETRY_S = 5.0
"""Seconds after which an unavailable cluster is tried again."""
_SETTLE_S = 3.0
"""Seconds until a shared filesystem shows here what the head wrote last."""
_STOP_S = 4
"""Seconds that a stopped runner has on the head to end its descendants; it takes three."""


class RayBackend:
    """Jobs of a cluster."""

    def __init__(self, jobs: Path, address: str, environment: Mapping[str, Any], root: str) -> None:
        """`address` is the Jobs API's, such as `http://ray-head:8265`.

        `environment` is the runtime environment of the jobs, as Ray defines it; `root` the storage
        that the cluster has to see.
        """
        self._jobs = jobs
        self._http = httpx2.Client(
            base_url=f"{address.rstrip('/')}/api/", timeout=_REQUEST_TIMEOUT_S
        )
        variables = {"RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_S), **environment.get("env_vars", {})}
        self._environment = {**environment, "env_vars": variables}
        self._root = root
        self._finished_at: dict[str, float] = {}
        self._is_available = False
        self._retry_at = 0.0

    def is_ready(self) -> bool:
        """See `Backend`; raises `InfrastructureError` for an unavailable cluster."""
        if not self._is_available and time.monotonic() >= self._retry_at:
            self._request("GET", "version")
        return self._is_available

    def start(self, job: JobRecord) -> None:
        """See `Backend`."""
        try:
            mark = StorageMark.create(self._root)
        except InfrastructureError:
            self._back_off()
            raise
        folder = JobFolder(self._jobs / job.job_id).prepare(job, [], mark)
        command = ["python", "-m", "pipelines.service.jobs.runner", str(folder)]
        response = self._request("POST", "jobs/", {
            "entrypoint": shlex.join(command),
            "submission_id": _submission_id(job),
            "runtime_env": self._environment,
            "metadata": {"reelmill_job": job.job_id},
        })  # fmt: skip
        if response.is_success or self._info(job) is not None:
            return
        if response.is_server_error:
            raise self._unavailable(_last_line(response.text))
        raise OSError(f"the Ray cluster refuses it: {_last_line(response.text)}")

    def poll(self, job: JobRecord) -> AttemptResult | None:
        """See `Backend`."""
        folder, name = JobFolder(self._jobs / job.job_id), _submission_id(job)
        info = self._info(job)
        was_started = folder.was_started(job.attempt)
        if info is None:
            raise AttemptLostError(was_started)
        if info["status"] not in _TERMINAL:
            return None
        result = folder.result(job.attempt)
        finished_at = self._finished_at.setdefault(name, time.monotonic())
        if result is None and time.monotonic() < finished_at + _SETTLE_S:
            return None
        del self._finished_at[name]
        if result is None and was_started:
            raise AttemptLostError(True)
        return result or AttemptResult(
            None,
            f"the cluster's head did not run it from {folder.path}; does it see that"
            f" folder? Ray says: {info.get('message') or 'nothing'}",
        )

    def stop(self, job: JobRecord) -> None:
        """See `Backend`."""
        self._request("POST", f"jobs/{_submission_id(job)}/stop")

    def _info(self, job: JobRecord) -> dict[str, Any] | None:
        """Ray's record of the attempt; None if there is none."""
        response = self._request("GET", f"jobs/{_submission_id(job)}")
        if response.status_code == 404:
            return None
        if response.is_error:
            raise self._unavailable(_last_line(response.text))
        return cast(dict[str, Any], response.json())

    def _request(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> httpx2.Response:
        token = ray_token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            response = self._http.request(method, path, json=body, headers=headers)
        except httpx2.TransportError as error:
            raise self._unavailable(str(error) or type(error).__name__) from error
        if response.status_code in (401, 403):
            raise self._unavailable("it rejects the token; see RAY_AUTH_TOKEN")
        self._is_available = True
        return response

    def _unavailable(self, reason: str) -> InfrastructureError:
        self._back_off()
        return InfrastructureError(f"the Ray cluster at {self._http.base_url} does not answer as"
                                   f" it should: {reason}")  # fmt: skip

    def _back_off(self) -> None:
        """Starts nothing for a moment."""
        self._is_available, self._retry_at = False, time.monotonic() + _RETRY_S


def _submission_id(job: JobRecord) -> str:
    return f"reelmill-{job.job_id}-{job.attempt}"


def _last_line(text: str) -> str:
    """The end of the traceback that Ray sends."""
    lines = [line.strip() for line in text.splitlines() if len(line.strip()) > 1]
    return lines[-1][:500] if lines else "nothing"
