"""Jobs on a Ray cluster, through its Jobs API.

The cluster's head runs the same runner over the same folder, so that the state has to lie where
both can see it; a runner that cannot see its folder says so and ends. The name of a submission is
the job's id and its attempt: Ray takes each name once, so that no attempt is started twice. The
token is taken from `RAY_AUTH_TOKEN`; Ray's dashboard, which the Jobs API is part of, is asked by
the server alone and never shown to callers.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from curation.reasons import EnvironmentFaultError
from pipelines.service.local import Ended, JobFolder, Lost
from pipelines.service.queue import Job

_TERMINAL = {"STOPPED", "SUCCEEDED", "FAILED"}


class OnRayJobs:
    """Jobs of a cluster."""

    def __init__(self, jobs: Path, address: str) -> None:
        """`address` is the Jobs API's, such as `http://ray-head:8265`."""
        self._jobs = jobs
        self._address = address
        self._made: Any = None

    def start(self, job: Job) -> None:
        """See `Backend`."""
        place = JobFolder(self._jobs / job.job_id).prepare(job, [])
        runner = ["python", "-m", "pipelines.service.runner", str(place)]
        try:
            self._client().submit_job(
                entrypoint=shlex.join(runner),
                submission_id=_name(job),
                metadata={"reelmill_job": job.job_id},
            )
        except (RuntimeError, ConnectionError) as error:
            raise OSError(f"the Ray cluster takes no job: {error}") from error

    def look(self, job: Job) -> Ended | None:
        """See `Backend`."""
        folder = JobFolder(self._jobs / job.job_id)
        info = self._info(job)
        if info is None:
            raise Lost((folder.attempt(job.attempt) / "runner.json").exists())
        if str(info.status.value) not in _TERMINAL:
            return None
        ended = folder.ended(job.attempt)
        if ended is not None:
            return ended
        if not (folder.attempt(job.attempt) / "runner.json").exists():
            return Ended(None, f"the cluster's head did not run it from {folder.path}; does it see"
                               f" that folder? Ray says: {info.message}")  # fmt: skip
        raise Lost(True)

    def stop(self, job: Job) -> None:
        """See `Backend`."""
        try:
            self._client().stop_job(_name(job))
        except (RuntimeError, ConnectionError) as error:
            raise EnvironmentFaultError(f"the Ray cluster cannot be asked: {error}") from error

    def _info(self, job: Job) -> Any:
        """What Ray knows of the attempt; None if nothing."""
        try:
            return self._client().get_job_info(_name(job))
        except RuntimeError as error:
            if "404" in str(error) or "does not exist" in str(error):
                return None
            raise EnvironmentFaultError(f"the Ray cluster cannot be asked: {error}") from error
        except ConnectionError as error:
            raise EnvironmentFaultError(f"the Ray cluster cannot be asked: {error}") from error

    def _client(self) -> Any:
        """A client of the Jobs API; it knocks when it is made."""
        if self._made is None:
            os.environ["RAY_AUTH_MODE"] = "token"
            from ray.job_submission import JobSubmissionClient

            self._made = JobSubmissionClient(self._address)
        return self._made


def _name(job: Job) -> str:
    return f"reelmill-{job.job_id}-{job.attempt}"
