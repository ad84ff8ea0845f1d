"""Jobs on a Ray cluster, through the REST interface of its Jobs API.

The cluster's head runs the same runner over the same folder, so that the state has to lie where
both can see it; a runner that cannot see its folder says so and ends, and so does a worker that
sees other storage than the server (`pipelines.run.storage_check`). The name of a submission is the
job's id and its attempt: Ray takes each name once, so that no attempt is started twice.

A cluster that is away decides nothing: what is not known to be submitted is asked for again, and
jobs wait. Ray's dashboard, which the Jobs API is part of, is asked by the server alone and never
shown to callers. Plain HTTP and not Ray's own client, which takes seconds and 200 MB to import and
waits without end for a cluster that has gone silent.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2

from curation.errors import InfrastructureError
from pipelines.run.ray_token import ray_token
from pipelines.run.storage_check import StorageMark
from pipelines.service.jobs.local_backend import Ended, JobFolder, Lost
from pipelines.service.jobs.queue import Job

_TERMINAL = {"STOPPED", "SUCCEEDED", "FAILED"}
_ANSWER_S = 20.0
"""Seconds that the Jobs API has for an answer."""
_AWAY_S = 5.0
"""Seconds after which a cluster that could not be asked is asked again."""
_SETTLE_S = 3.0
"""Seconds after which a shared filesystem shows here what the head wrote at the end."""
_STOP_S = 4
"""Seconds that a stopped runner has on the head to end what is below it; it takes three."""


class OnRayJobs:
    """Jobs of a cluster."""

    def __init__(self, jobs: Path, address: str, environment: Mapping[str, Any], root: str) -> None:
        """`address` is the Jobs API's, such as `http://ray-head:8265`.

        `environment` is the runtime environment of the jobs, as Ray defines it; `root` the storage
        that the cluster has to see.
        """
        self._jobs = jobs
        self._http = httpx2.Client(base_url=f"{address.rstrip('/')}/api/", timeout=_ANSWER_S)
        variables = {"RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_S), **environment.get("env_vars", {})}
        self._environment = {**environment, "env_vars": variables}
        self._root = root
        self._over: dict[str, float] = {}
        self._is_there = False
        self._again_at = 0.0

    def ready(self) -> bool:
        """See `Backend`; raises `EnvironmentFaultError` where the cluster cannot be asked."""
        if not self._is_there and time.monotonic() >= self._again_at:
            self._ask("GET", "version")
        return self._is_there

    def start(self, job: Job) -> None:
        """See `Backend`."""
        mark = self._mark()
        place = JobFolder(self._jobs / job.job_id).prepare(job, [], mark)
        answer = self._ask("POST", "jobs/", {
            "entrypoint": shlex.join(["python", "-m", "pipelines.service.jobs.runner", str(place)]),
            "submission_id": _name(job),
            "runtime_env": self._environment,
            "metadata": {"reelmill_job": job.job_id},
        })  # fmt: skip
        if answer.is_success or self._info(job) is not None:
            return
        if answer.is_server_error:
            raise self._away(_last_line(answer.text))
        raise OSError(f"the Ray cluster refuses it: {_last_line(answer.text)}")

    def look(self, job: Job) -> Ended | None:
        """See `Backend`."""
        folder = JobFolder(self._jobs / job.job_id)
        info = self._info(job)
        began = (folder.attempt(job.attempt) / "runner.json").exists()
        if info is None:
            raise Lost(began)
        if info["status"] not in _TERMINAL:
            return None
        ended = folder.ended(job.attempt)
        over_at = self._over.setdefault(_name(job), time.monotonic())
        if ended is None and time.monotonic() < over_at + _SETTLE_S:
            return None
        del self._over[_name(job)]
        if ended is not None:
            return ended
        if began:
            raise Lost(True)
        return Ended(None, f"the cluster's head did not run it from {folder.path}; does it see that"
                           f" folder? Ray says: {info.get('message') or 'nothing'}")  # fmt: skip

    def stop(self, job: Job) -> None:
        """See `Backend`."""
        self._ask("POST", f"jobs/{_name(job)}/stop")

    def _mark(self) -> StorageMark:
        try:
            return StorageMark.of(self._root)
        except InfrastructureError:
            self._wait()
            raise

    def _info(self, job: Job) -> dict[str, Any] | None:
        """What Ray knows of the attempt; None if nothing."""
        answer = self._ask("GET", f"jobs/{_name(job)}")
        if answer.status_code == 404:
            return None
        if answer.is_error:
            raise self._away(_last_line(answer.text))
        found: dict[str, Any] = answer.json()
        return found

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx2.Response:
        token = ray_token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            answer = self._http.request(method, path, json=body, headers=headers)
        except httpx2.TransportError as error:
            raise self._away(str(error) or type(error).__name__) from error
        if answer.status_code in (401, 403):
            raise self._away("it does not take the token; see RAY_AUTH_TOKEN")
        self._is_there = True
        return answer

    def _away(self, words: str) -> InfrastructureError:
        self._wait()
        return InfrastructureError(f"the Ray cluster at {self._http.base_url} does not answer as"
                                     f" it should: {words}")  # fmt: skip

    def _wait(self) -> None:
        """Starts nothing for a moment."""
        self._is_there, self._again_at = False, time.monotonic() + _AWAY_S


def _name(job: Job) -> str:
    return f"reelmill-{job.job_id}-{job.attempt}"


def _last_line(text: str) -> str:
    """What an answer comes down to: the end of the traceback that Ray sends."""
    lines = [line.strip() for line in text.splitlines() if len(line.strip()) > 1]
    return lines[-1][:500] if lines else "nothing"
