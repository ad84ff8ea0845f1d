"""Jobs on a real Ray head with its Jobs API on loopback: run, found again, ended, refused."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
import pytest

from curation.errors import InfrastructureError
from pipelines.run.ray_cluster import reaped_folder
from pipelines.service.jobs.local_backend import JobFolder
from pipelines.service.jobs.ray_backend import RayBackend
from tests.outputs import ROOT, tables
from tests.pipelines.service.processes import STUBBORN, Server, alive
from tests.pipelines.service.test_server_kill import Server as Process

pytestmark = pytest.mark.ray

pytest.importorskip("aiohttp_cors", reason="the Jobs API takes ray[default]")
ENVIRONMENT = {"env_vars": {"GREETING": "hello from the environment"}}


@dataclass(frozen=True)
class Head:
    """A cluster of one machine."""

    address: str
    process: subprocess.Popen

    def jobs(self) -> list[dict]:
        headers = {"Authorization": f"Bearer {os.environ['RAY_AUTH_TOKEN']}"}
        return httpx2.get(f"{self.address}/api/jobs/", headers=headers).json()

    def below(self, words: str) -> list[psutil.Process]:
        """Its live processes whose command line holds the words, and all that these started."""
        matches = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if words in " ".join(process.cmdline()):
                    matches += [process, *process.children(recursive=True)]
        return alive(matches)


def free_ports(count: int) -> list[str]:
    """Free ports, beyond those that Ray gives its workers."""
    ports: list[str] = []
    while len(ports) < count:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        if port >= 20_000 and str(port) not in ports:
            ports.append(str(port))
    return ports


@pytest.fixture(scope="module")
def head():
    dashboard, client, agent = free_ports(3)
    words = {
        "--node-ip-address": "127.0.0.1", "--port": "0", "--ray-client-server-port": client,
        "--include-dashboard": "true", "--dashboard-host": "127.0.0.1",
        "--dashboard-port": dashboard, "--dashboard-agent-listen-port": agent,
        "--num-cpus": "3", "--object-store-memory": "100000000",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, reaped_folder() as folder:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        patch.setenv("PATH", os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"])
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("OMP_NUM_THREADS", "1")
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block",
                   "--disable-usage-stats", "--temp-dir", folder]  # fmt: skip
        command += [word for pair in words.items() for word in pair]
        with open(f"{folder}/log", "wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            head = Head(f"http://127.0.0.1:{dashboard}", process)
            wait_for(head, Path(folder, "log"))
            yield head
        finally:
            process.kill()  # what it started has files open in the folder, and goes with it
            process.wait()


def wait_for(head: Head, log: Path) -> None:
    ends = time.monotonic() + 120
    while True:
        try:
            head.jobs()
            return
        except httpx2.TransportError:
            assert head.process.poll() is None, log.read_text()
            assert time.monotonic() < ends, log.read_text()
            time.sleep(0.2)


@pytest.fixture
def start(head, tmp_path):
    """A server over the folder of this test; again for the next one over the same."""

    def build() -> Server:
        root = tmp_path / "outputs"
        return Server(tmp_path, RayBackend(tmp_path / "jobs", head.address, ENVIRONMENT, str(root)))

    return build


def test_a_job_ends_with_its_code_and_its_words_in_the_environment_that_was_named(start):
    server = start()
    good = server.submit("import os; print(os.environ['GREETING'])")
    some = server.submit("import sys; sys.exit(3)", "b")
    bad = server.submit("import os; os.kill(os.getpid(), 11)", "c")
    codes = []
    for job in (good, some, bad):
        server.until(lambda job=job: server.queue.get(job.job_id).ended, 60)
        codes.append((server.queue.get(job.job_id).state, server.queue.get(job.job_id).exit_code))
    assert codes == [("done", 0), ("done", 3), ("failed", -11)]
    assert server.log(good) == "hello from the environment\n"


def test_an_attempt_that_is_started_twice_runs_once_and_the_next_server_finds_it(start, tmp_path):
    server, marks = start(), tmp_path / "marks"
    job = server.submit(f"import time; open({str(marks)!r}, 'a').write('x'); time.sleep(2)")
    server.until(lambda: server.queue.get(job.job_id).state == "running")
    server.backend.start(server.queue.get(job.job_id))
    after = start()
    after.until(lambda: after.queue.get(job.job_id).ended, 60)
    ended = after.queue.get(job.job_id)
    assert (ended.state, ended.attempt) == ("done", 1)
    assert marks.read_text() == "x"


def test_a_server_that_died_before_it_submitted_does_so_now(start):
    server = start()
    job = server.submit("print('once')")
    assert server.queue.start_next(1, 1).job_id == job.job_id
    after = start()
    after.until(lambda: after.queue.get(job.job_id).ended, 60)
    ended = after.queue.get(job.job_id)
    assert (ended.state, ended.attempt, ended.losses) == ("done", 2, 0)
    assert after.log(job) == "once\n"


def test_a_cancel_leaves_no_descendant(start, head):
    server = start()
    job = server.submit(STUBBORN)
    server.until(lambda: "ready" in server.log(job), 60)
    runner = server.runner(job)
    below = [runner, *runner.children(recursive=True)]
    assert len(alive(below)) == 5
    server.queue.cancel(job.job_id, "key:ann", "enough")
    server.until(lambda: not alive(below), 30)
    after = start()
    after.until(lambda: after.queue.get(job.job_id).ended, 30)
    ended = after.queue.get(job.job_id)
    assert (ended.state, ended.cancelled_by, ended.cancel_reason) == (
        "cancelled", "key:ann", "enough",
    )  # fmt: skip


def test_a_killed_runner_takes_the_command_along_and_the_job_starts_again(start, tmp_path):
    server, marks = start(), tmp_path / "marks"
    code = f"import os, time; open({str(marks)!r}, 'a').write(f'{{os.getpid()}} '); time.sleep("
    job = server.submit(code + f"300 if len(open({str(marks)!r}).read().split()) == 1 else 0)")
    server.until(marks.exists, 60)
    runner = server.runner(job)
    below = runner.children(recursive=True)
    runner.send_signal(signal.SIGKILL)
    server.until(lambda: server.queue.get(job.job_id).ended, 60)
    ended = server.queue.get(job.job_id)
    assert (ended.state, ended.attempt, ended.losses) == ("done", 2, 1)
    assert len(marks.read_text().split()) == 2
    assert not alive(below)


def test_a_head_that_does_not_see_the_folder_fails_the_job_in_words(start, monkeypatch):
    server, prepare = start(), JobFolder.prepare
    monkeypatch.setattr(JobFolder, "prepare", lambda *a: prepare(*a) / "elsewhere")
    job = server.submit("print('never')")
    server.until(lambda: server.queue.get(job.job_id).ended, 60)
    ended = server.queue.get(job.job_id)
    assert ended.state == "failed"
    assert "does it see that folder?" in ended.error
    assert server.log(job) == ""


def test_an_environment_that_ray_refuses_fails_the_job_in_words(head, tmp_path):
    environment = {"working_dir": "/no/such/place"}
    jobs = RayBackend(tmp_path / "jobs", head.address, environment, str(tmp_path))
    server = Server(tmp_path, jobs)
    job = server.submit("print('never')")
    server.until(lambda: server.queue.get(job.job_id).ended, 60)
    ended = server.queue.get(job.job_id)
    assert ended.state == "failed"
    assert "/no/such/place" in ended.error


def test_a_cluster_that_cannot_be_asked_lets_jobs_wait(head, tmp_path, monkeypatch):
    dead = f"http://127.0.0.1:{free_ports(1)[0]}"
    unavailable = Server(tmp_path, RayBackend(tmp_path / "jobs", dead, {}, str(tmp_path)))
    job = unavailable.submit("print('later')")
    with pytest.raises(InfrastructureError, match="does not answer"):
        unavailable.supervisor.tick()
    assert unavailable.queue.get(job.job_id).state == "queued"
    with monkeypatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN", "wrong" * 12)
        with pytest.raises(InfrastructureError, match="RAY_AUTH_TOKEN"):
            RayBackend(tmp_path / "jobs", head.address, {}, str(tmp_path)).is_ready()
    available = Server(tmp_path, RayBackend(tmp_path / "jobs", head.address, {}, str(tmp_path)))
    available.until(lambda: available.queue.get(job.job_id).ended, 60)
    assert (available.queue.get(job.job_id).state, available.queue.get(job.job_id).attempt) == (
        "done",
        1,
    )


@pytest.fixture
def process(head, curated, tmp_path):
    (tmp_path / "environment.yaml").write_text(json.dumps(ENVIRONMENT))
    made = Process(
        tmp_path, curated, "--ray-jobs", head.address,
        "--ray-env", str(tmp_path / "environment.yaml"),
    )  # fmt: skip
    made.start()
    yield made
    made.kill()


@pytest.mark.faults
def test_a_server_that_is_killed_finds_its_job_on_the_cluster(process, head, curated, tmp_path):
    job_request = {"kind": "scan", "collection": "drive", "inputs": ["videos"]}
    job_id = process.client().submit(key="same", **job_request)["job_id"]
    ends = time.monotonic() + 60
    while not (below := head.below(f"{job_id}/1")):
        assert time.monotonic() < ends
        time.sleep(0.1)
    process.kill()
    process.start()
    client = process.client()
    assert client.submit(key="same", **job_request)["job_id"] == job_id
    job = client.wait(job_id)
    assert (job["state"], job["exit_code"], job["attempt"]) == ("done", 3, 1), [
        *client.log(job_id), client.events(job_id),
    ]  # fmt: skip
    assert job["steps"][0]["counts"] == {"scanned": 3, "not_video": 1}
    assert [j["submission_id"] for j in head.jobs() if job_id in j["submission_id"]] == [
        f"reelmill-{job_id}-1"
    ]
    assert not alive(below)
    made, expected = tables(tmp_path / "drive"), tables(curated.out)
    assert {"sources", "clips"} <= made.keys()
    assert made == {name: expected[name] for name in made}


@pytest.mark.faults
def test_a_cancelled_job_leaves_no_worker_on_the_cluster(process, head):
    client = process.client()
    job_id = client.submit(kind="scan", collection="far", inputs=["videos"])["job_id"]
    ends = time.monotonic() + 60
    while not (workers := head.below("ray::_Actor")):
        assert time.monotonic() < ends, [p.name() for p in head.below("ray::")]
        time.sleep(0.05)
    below = [*workers, *head.below(f"{job_id}/1")]
    client.cancel(job_id, "enough")
    job = client.wait(job_id)
    assert (job["state"], job["cancel_reason"]) == ("cancelled", "enough")
    while alive(below):
        assert time.monotonic() < ends, alive(below)
        time.sleep(0.05)
