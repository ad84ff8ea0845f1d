"""The in-memory parts of a server that run jobs, and commands that are hard to stop."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from pipelines.service.database import Database
from pipelines.service.jobs.local_backend import Backend, JobFolder, LocalBackend
from pipelines.service.jobs.queue import JobQueue, JobRecord
from pipelines.service.jobs.supervisor import Supervisor
from pipelines.service.schemas import FINAL, JobRequest

STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"
for new_session in (False, True):
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=new_session)
if (middle := os.fork()) == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(300)
    os._exit(0)
os.waitpid(middle, 0)
print("ready", flush=True)
time.sleep(300)
"""
"""Ignores SIGTERM, and leaves children, one in a session of its own and one orphan."""


class Server:
    """The in-memory parts of a server; another one over the same folder can replace it."""

    def __init__(self, folder: Path, backend: Backend | None = None) -> None:
        self.queue = JobQueue(Database(folder / "service.db"))
        self.jobs = folder / "jobs"
        self.backend = backend or LocalBackend(self.jobs)
        self.supervisor = Supervisor(self.queue, self.backend, max_running=4, max_per_owner=4)

    def submit(self, code: str, collection: str = "a") -> JobRecord:
        job_request = JobRequest(kind="verify", collection=collection)
        return self.queue.submit("me", job_request, [sys.executable, "-c", code], None, 1000)[0]

    def folder(self, job: JobRecord) -> JobFolder:
        return JobFolder(self.jobs / job.job_id)

    def until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        ends = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < ends, [j.state for j in self.queue.newest(10)]
            self.supervisor.tick()
            time.sleep(0.02)

    def ended(self, job: JobRecord) -> JobRecord:
        self.until(lambda: self.queue.get(job.job_id).state in FINAL)
        return self.queue.get(job.job_id)

    def log(self, job: JobRecord) -> str:
        path = self.folder(job).log
        return path.read_text() if path.exists() else ""

    def runner(self, job: JobRecord) -> psutil.Process:
        self.until(lambda: self._identity_file(job).exists())
        return psutil.Process(json.loads(self._identity_file(job).read_text())["pid"])

    def _identity_file(self, job: JobRecord) -> Path:
        attempt = self.queue.get(job.job_id).attempt
        return self.folder(job).attempt_folder(attempt) / "runner.json"


def alive(processes) -> list[psutil.Process]:
    result = []
    for process in processes:
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                result.append(process)
        except psutil.Error:
            pass
    return result
