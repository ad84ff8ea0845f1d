"""Jobs on this machine: each attempt a process session of its own, which outlives the server.

Whether an attempt lives is asked of a lock that its processes hold, never of a process id alone,
so that a server that was killed finds its jobs again, and none is started twice.
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

from pipelines.run.storage_check import VARIABLE, StorageMark
from pipelines.service.jobs.queue import Job
from pipelines.service.jobs.runner import write_whole

_PATIENCE_S = 3.5
"""Seconds after which a runner that was told to stop is killed with all that is below it."""


@dataclass(frozen=True)
class Ended:
    """An attempt is over."""

    code: int | None
    """Exit code of the command; −n if signal n ended it; None if it never ran."""
    error: str | None = None


class Lost(Exception):  # noqa: N818  an answer, not a mistake
    """An attempt is over and nobody knows how; `began` tells whether it had begun at all."""

    def __init__(self, began: bool) -> None:
        super().__init__(began)
        self.began = began


class Backend(Protocol):
    """Where jobs run."""

    def ready(self) -> bool:
        """Whether jobs can be started now."""

    def start(self, job: Job) -> None:
        """Starts the job's current attempt; once only. Raises `OSError` if it cannot.

        Raises `EnvironmentFaultError` where nobody knows whether it did: `look` will.
        """

    def look(self, job: Job) -> Ended | None:
        """How the current attempt ended; None while it lives. Raises `Lost`."""

    def stop(self, job: Job) -> None:
        """Asks the current attempt to end, with all that belongs to it; may be called again."""


@dataclass(frozen=True)
class JobFolder:
    """Where the files of one job lie."""

    path: Path

    @property
    def log(self) -> Path:
        """What the command said, of all attempts."""
        return self.path / "log"

    @property
    def artefacts(self) -> Path:
        """What it made for people to fetch."""
        return self.path / "artefacts"

    @property
    def progress(self) -> Path:
        """How far it is."""
        return self.path / "progress.json"

    def attempt(self, number: int) -> Path:
        """What concerns one attempt."""
        return self.path / str(number)

    def prepare(self, job: Job, hand_on: list[int], mark: StorageMark | None = None) -> Path:
        """Writes the order for the runner; the folder of the attempt.

        With a `mark`, the runner and the workers of the command begin by checking their storage.
        """
        folder = self.attempt(job.attempt)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.artefacts.mkdir(exist_ok=True)
        self.progress.unlink(missing_ok=True)
        said = "" if mark is None else str(mark)
        order = {
            "command": json.loads(job.command),
            "log": str(self.log),
            "artefacts": str(self.artefacts),
            "env": {"REELMILL_PROGRESS": str(self.progress), VARIABLE: said},
            "mark": said,
            "hand_on": hand_on,
        }
        write_whole(folder / "order.json", order)
        return folder

    def ended(self, number: int) -> Ended | None:
        """How an attempt ended, if its runner said so."""
        said = read_json(self.attempt(number) / "ended.json")
        return None if said is None else Ended(said["code"], said["error"])


class Local:
    """Jobs as processes of this machine."""

    def __init__(self, jobs: Path) -> None:
        self._jobs = jobs
        self._runners: dict[str, subprocess.Popen[bytes]] = {}
        self._told: dict[tuple[str, int], float] = {}

    def folder(self, job: Job) -> JobFolder:
        """The files of a job."""
        return JobFolder(self._jobs / job.job_id)

    def ready(self) -> bool:
        """See `Backend`."""
        return True

    def start(self, job: Job) -> None:
        """See `Backend`."""
        folder = self.folder(job)
        place = folder.attempt(job.attempt)
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(place / "lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folder.prepare(job, [lock.fileno()])
            with open(place / "runner.log", "ab") as log:
                self._runners[job.job_id] = subprocess.Popen(
                    [sys.executable, "-m", "pipelines.service.jobs.runner", str(place)],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=place,
                    start_new_session=True, pass_fds=[lock.fileno()],
                )  # fmt: skip

    def look(self, job: Job) -> Ended | None:
        """See `Backend`."""
        runner = self._runners.get(job.job_id)
        if runner is not None and runner.poll() is not None:
            del self._runners[job.job_id]
        folder = self.folder(job)
        if _held(folder.attempt(job.attempt) / "lock"):
            return None
        self._told.pop((job.job_id, job.attempt), None)
        ended = folder.ended(job.attempt)
        if ended is None:
            raise Lost((folder.attempt(job.attempt) / "runner.json").exists())
        return ended

    def stop(self, job: Job) -> None:
        """See `Backend`."""
        process = self._process(job)
        if process is None:
            return
        key, now = (job.job_id, job.attempt), time.monotonic()
        with contextlib.suppress(psutil.Error):
            if key not in self._told:
                self._told[key] = now
                process.terminate()
            elif now - self._told[key] > _PATIENCE_S:
                for each in [*process.children(recursive=True), process]:
                    with contextlib.suppress(psutil.Error):
                        each.kill()

    def _process(self, job: Job) -> psutil.Process | None:
        """The attempt's runner, if it lives: the same process id and the same time of birth."""
        said = read_json(self.folder(job).attempt(job.attempt) / "runner.json")
        try:
            process = psutil.Process(said["pid"]) if said else None
            same = process is not None and process.create_time() == said["created"]
        except psutil.Error:
            return None
        return process if same else None


def _held(path: Path) -> bool:
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
    """What a file written whole holds; None if it is not there."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
