"""A real server over real sources, killed again and again: each job is done once, and said so."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from pipelines.service.client import Client, ServiceError
from tests.outputs import COMMAND, ROOT, assert_same, environment, versions

pytestmark = pytest.mark.faults
KILLS = 3
MOST_PROGRESS = 20
"""Progress that the two jobs of a test exceed."""


class Server:
    """`reelmill serve` as a process."""

    def __init__(self, root: Path, curated, *options: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._command = [
            *COMMAND, "serve", str(root), "--source", f"videos={curated.videos}", "--config",
            str(curated.profile), "--port", str(self.port), *options,
        ]  # fmt: skip
        self._log = root / "server.log"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen(
                self._command, env=environment(), cwd=ROOT, stdout=log, stderr=log
            )

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def client(self) -> Client:
        ends = time.monotonic() + 120
        client = Client(f"http://127.0.0.1:{self.port}")
        while True:
            try:
                client.collections()
                return client
            except ServiceError:
                assert time.monotonic() < ends, self._log.read_text()
                assert self.process is not None
                assert self.process.poll() is None, self._log.read_text()
                time.sleep(0.2)


@pytest.fixture
def server(curated, tmp_path):
    made = Server(tmp_path, curated, "--running", "2")
    made.start()
    yield made
    made.kill()
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or ())
        assert str(tmp_path) not in words, f"left behind: {words}"


def progress(root: Path) -> int:
    """How much has happened: runners, steps and outcomes of all jobs."""
    jobs = root / ".reelmill" / "jobs"
    points = len([*jobs.glob("*/*/runner.json")])
    for path in jobs.glob("*/progress.json"):
        with contextlib.suppress(OSError):
            steps = json.loads(path.read_text())["steps"]
            points += len(steps) + sum(step["done"] for step in steps)
    return points


@pytest.mark.full_seeds(10)
def test_a_server_that_is_killed_loses_and_doubles_nothing(
    fault_seed, server, curated, tmp_path, record_fault
):
    """Two jobs side by side, and one that waits for the first; the server is killed amid them."""
    collections = {"first": "drive", "second": "walk", "third": "drive"}

    def submit(name: str) -> str:
        return server.client().submit(
            key=name, kind="curate", collection=collections[name], inputs=["videos"],
            settings={"duration_s.min": 0.9},
        )["job_id"]  # fmt: skip

    ids = {name: submit(name) for name in collections}
    moments = random.Random(f"server {fault_seed}").sample(range(MOST_PROGRESS), KILLS)
    for moment in sorted(moments):
        ends = time.monotonic() + 120
        while progress(tmp_path) < moment:
            assert time.monotonic() < ends, f"seed {fault_seed}: {moments}"
            time.sleep(0.01)
        server.kill()
        server.start()
        assert {name: submit(name) for name in collections} == ids
    killed_at, client = time.monotonic(), server.client()
    for job_id in ids.values():
        job = client.wait(job_id)
        assert (job["state"], job["exit_code"]) == ("done", 3), list(client.log(job_id))
        folder = tmp_path / ".reelmill" / "jobs" / job_id
        assert len([*folder.glob("*/runner.json")]) == 1, "it ran twice"
        kinds = [event["kind"] for event in client.events(job_id)]
        assert (kinds[0], kinds[-1], kinds.count("done")) == ("queued", "done", 1)
    recovery_s = time.monotonic() - killed_at
    assert len(client.jobs()) == len(ids)
    assert [step["step"] for step in client.job(ids["first"])["steps"]][:3] == [
        "scan", "select", "render",
    ]  # fmt: skip
    assert client.job(ids["first"])["steps"][0]["counts"] == {"scanned": 3, "not_video": 1}
    for collection in ("drive", "walk"):
        assert_same(tmp_path / collection, curated.out)
    before = versions(tmp_path / "drive")
    client.retry(ids["first"])
    assert client.wait(ids["first"])["exit_code"] == 3
    assert versions(tmp_path / "drive") == before
    record_fault("server killed", faults=KILLS, recovery_s=recovery_s)


def test_a_cancelled_job_on_ray_leaves_nothing(server, tmp_path):
    client = server.client()
    job_id = client.submit(
        kind="curate", collection="far", inputs=["videos"],
        settings={"execution.executor": "ray", "cpus": 1, "object_store_mb": 100},
    )["job_id"]  # fmt: skip
    ends = time.monotonic() + 120
    place = f"{tmp_path}/.reelmill/jobs/{job_id}/"

    def below() -> list[psutil.Process]:
        for process in psutil.process_iter(["cmdline"]):
            if any(place in word for word in process.info["cmdline"] or ()):
                return [process, *process.children(recursive=True)]
        return []

    while not any("raylet" in process.name() for process in below()):
        assert time.monotonic() < ends, list(client.log(job_id))
        time.sleep(0.1)
    processes = below()
    client.cancel(job_id, "enough")
    job = client.wait(job_id)
    assert (job["state"], job["cancelled_by"], job["cancel_reason"]) == (
        "cancelled", "local", "enough",
    )  # fmt: skip
    assert not [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert os.path.exists(f"{place}1/result.json")
