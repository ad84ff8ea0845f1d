"""What a server process keeps of jobs in memory, and commands that are hard to end."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from pipelines.service.database import Database
from pipelines.service.jobs.local_backend import Backend, JobFolder, Local
from pipelines.service.jobs.queue import Job, Queue
from pipelines.service.jobs.supervisor import Supervisor
from pipelines.service.schemas import FINAL, Wish

STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"
for away in (False, True):
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=away)
if (between := os.fork()) == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(300)
    os._exit(0)
os.waitpid(between, 0)
print("ready", flush=True)
time.sleep(300)
"""
"""Ignores SIGTERM, and leaves children, one in a session of its own and one orphan."""


class Server:
    """What a server process keeps in memory: nothing that another could not make anew."""

    def __init__(self, folder: Path, backend: Backend | None = None) -> None:
        self.queue = Queue(Database(folder / "service.db"))
        self.jobs = folder / "jobs"
        self.backend = backend or Local(self.jobs)
        self.supervisor = Supervisor(self.queue, self.backend, running=4, each=4)

    def submit(self, code: str, collection: str = "a") -> Job:
        wish = Wish(kind="verify", collection=collection)
        return self.queue.submit("me", wish, [sys.executable, "-c", code], None, 1000)[0]

    def folder(self, job: Job) -> JobFolder:
        return JobFolder(self.jobs / job.job_id)

    def until(self, there: Callable[[], object], seconds: float = 20.0) -> None:
        ends = time.monotonic() + seconds
        while not there():
            assert time.monotonic() < ends, [j.state for j in self.queue.newest(10)]
            self.supervisor.round()
            time.sleep(0.02)

    def ended(self, job: Job) -> Job:
        self.until(lambda: self.queue.get(job.job_id).state in FINAL)
        return self.queue.get(job.job_id)

    def log(self, job: Job) -> str:
        path = self.folder(job).log
        return path.read_text() if path.exists() else ""

    def runner(self, job: Job) -> psutil.Process:
        self.until(lambda: self._said(job).exists())
        return psutil.Process(json.loads(self._said(job).read_text())["pid"])

    def _said(self, job: Job) -> Path:
        attempt = self.queue.get(job.job_id).attempt
        return self.folder(job).attempt(attempt) / "runner.json"


def alive(processes) -> list[psutil.Process]:
    found = []
    for each in processes:
        try:
            if each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
        except psutil.Error:
            pass
    return found
