"""Jobs on this machine: each attempt is a process session of its own, which outlives the server.

Whether an attempt is alive is decided by a lock that its processes hold, never by a process id
alone: a server that was killed finds its jobs again, and none is started twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil

from curation.errors import ReelmillError
from curation.process_identity import machine_id, start_time
from pipelines.run.storage_check import VARIABLE, StorageMark
from pipelines.service.jobs.queue import JobRecord
from pipelines.service.jobs.runner import write_json

_STOP_TIMEOUT_S = 3.5
"""Seconds after SIGTERM after which a runner is killed with all its descendants."""


@dataclass(frozen=True)
class AttemptResult:
    """How an attempt ended."""

    exit_code: int | None
    """Of the command; −n if signal n ended it; None if it never ran."""
    error: str | None = None


class AttemptLostError(ReelmillError):
    """An attempt is over without a result; `was_started` says whether its runner had started."""

    def __init__(self, was_started: bool) -> None:
        super().__init__(was_started)
        self.was_started = was_started


class Backend(Protocol):
    """Where jobs run."""

    def is_ready(self) -> bool:
        """Whether jobs can be started now."""

    def start(self, job: JobRecord) -> None:
        """Starts the job's current attempt, at most once. Raises `OSError` if it cannot.

        Raises `InfrastructureError` where it is unknown whether it did; `poll` finds out.
        """

    def poll(self, job: JobRecord) -> AttemptResult | None:
        """The result of the current attempt; None while it runs. Raises `AttemptLostError`."""

    def stop(self, job: JobRecord) -> None:
        """Stops the current attempt and all its processes; may be called again."""


@dataclass(frozen=True)
class JobFolder:
    """The files of one job."""

    path: Path

    @property
    def log(self) -> Path:
        """Output of the command, of all attempts."""
        return self.path / "log"

    @property
    def artefacts(self) -> Path:
        """Files for download."""
        return self.path / "artefacts"

    @property
    def progress(self) -> Path:
        """Progress of the steps, as JSON."""
        return self.path / "progress.json"

    def attempt_folder(self, number: int) -> Path:
        """The files of one attempt."""
        return self.path / str(number)

    def prepare(self, job: JobRecord, pass_fds: list[int], mark: StorageMark | None = None) -> Path:
        """Writes the runner's `attempt.json`; returns the folder of the attempt.

        With a `mark`, the runner and the workers of the command check their storage first.
        """
        folder = self.attempt_folder(job.attempt)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.artefacts.mkdir(exist_ok=True)
        self.progress.unlink(missing_ok=True)
        storage_mark = "" if mark is None else str(mark)
        spec = {
            "command": json.loads(job.command),
            "log": str(self.log),
            "artefacts": str(self.artefacts),
            "env": {"REELMILL_PROGRESS": str(self.progress), VARIABLE: storage_mark},
            "storage_mark": storage_mark,
            "pass_fds": pass_fds,
        }
        write_json(folder / "attempt.json", spec)
        return folder

    def was_started(self, number: int) -> bool:
        """Whether the runner of an attempt started."""
        return (self.attempt_folder(number) / "runner.json").exists()

    def result(self, number: int) -> AttemptResult | None:
        """The result of an attempt, if its runner wrote one."""
        result = read_json(self.attempt_folder(number) / "result.json")
        return None if result is None else AttemptResult(**result)


class LocalBackend:
    """Jobs as processes of this machine."""

    def __init__(self, jobs: Path) -> None:
        self._jobs = jobs
        self._runners: dict[str, subprocess.Popen[bytes]] = {}
        self._stop_sent_at: dict[tuple[str, int], float] = {}

    def folder(self, job: JobRecord) -> JobFolder:
        """The files of a job."""
        return JobFolder(self._jobs / job.job_id)

    def is_ready(self) -> bool:
        """See `Backend`."""
        return True

    def start(self, job: JobRecord) -> None:
        """See `Backend`."""
        folder = self.folder(job)
        attempt = folder.attempt_folder(job.attempt)
        attempt.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(attempt / "lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folder.prepare(job, [lock.fileno()])
            with open(attempt / "runner.log", "ab") as log:
                self._runners[job.job_id] = subprocess.Popen(
                    [sys.executable, "-m", "pipelines.service.jobs.runner", str(attempt)],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=attempt,
                    start_new_session=True, pass_fds=[lock.fileno()],
                )  # fmt: skip

    def poll(self, job: JobRecord) -> AttemptResult | None:
        """See `Backend`."""
        runner = self._runners.get(job.job_id)
        if runner is not None and runner.poll() is not None:
            del self._runners[job.job_id]
        folder = self.folder(job)
        if _is_locked(folder.attempt_folder(job.attempt) / "lock"):
            return None
        self._stop_sent_at.pop((job.job_id, job.attempt), None)
        result = folder.result(job.attempt)
        if result is None:
            raise AttemptLostError(folder.was_started(job.attempt))
        return result

    def stop(self, job: JobRecord) -> None:
        """See `Backend`."""
        process = self._process(job)
        if process is None:
            return
        key, now = (job.job_id, job.attempt), time.monotonic()
        with contextlib.suppress(psutil.Error):
            if key not in self._stop_sent_at:
                self._stop_sent_at[key] = now
                process.terminate()
            elif now - self._stop_sent_at[key] > _STOP_TIMEOUT_S:
                for descendant in [*process.children(recursive=True), process]:
                    with contextlib.suppress(psutil.Error):
                        descendant.kill()

    def _process(self, job: JobRecord) -> psutil.Process | None:
        """The attempt's runner, if it is alive: the same process id and start on this machine."""
        identity = read_json(self.folder(job).attempt_folder(job.attempt) / "runner.json")
        if identity is None or identity.get("machine") != machine_id():
            return None
        try:
            process = psutil.Process(identity["pid"])
        except psutil.Error:
            return None
        return process if start_time(process.pid) == identity["start"] else None


def _is_locked(path: Path) -> bool:
    """Whether any process holds the lock."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def read_json(path: Path) -> Any:
    """The content of a JSON file; None if it does not exist."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
