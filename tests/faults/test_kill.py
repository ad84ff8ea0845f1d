"""Kills at seeded moments; then the same command again gives what an undisturbed run gives.

Where Ray itself is not what is killed, most seeds run on processes of this machine, which is what a
job of this size runs on. Moments are progress, not time: how far the run's progress file says that
it is, and which processes and how much output of theirs there is. Several kills share a run as far
as its rules permit: no item may lose more than one decoder, no step more than two workers.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from curation.dataset import Dataset
from pipelines.run.progress import PROGRESS_VARIABLE
from pipelines.verify import verify
from tests.outputs import COMMAND, ROOT, assert_same, environment, run, versions

pytestmark = pytest.mark.faults
STEPS = ("scan", "render", "tokenize")
"""Steps that run on workers, in order."""
WORKERS_A_STEP = 2
"""A worker may be restarted twice, and its item tried again."""
DRIVERS_A_SEED = 3
EXECUTORS = ("ray", "local", "local", "local", "local")
"""By seed."""
WRITTEN = (0, 1 << 12, 1 << 15, 1 << 18)
"""Bytes that a decoder has written when it is killed."""
RUN_TIMEOUT_S, END_TIMEOUT_S = 300, 30
Moment = tuple[int, float]
"""Index of a step, and the share of its items that have an outcome; (-1, 0.0) before the first."""


@dataclass
class Running:
    """The job while it runs, with its files in a folder."""

    process: subprocess.Popen
    folder: Path
    arguments: list[str]
    """Of the command."""

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def moment(self) -> Moment:
        """How far it is: how many steps have finished, and how much of the next one."""
        with contextlib.suppress(OSError):
            entries = json.loads((self.folder / "progress").read_text())["steps"]
            shares = [e["done"] / max(e["total"], 1) for e in entries if e["step"] in STEPS]
            left = [share for share in shares if share < 1]
            return len(shares) - len(left), left[0] if left else 0.0
        return -1, 0.0

    def runs(self) -> bool:
        return self.process.poll() is None

    def wait_for(self, moment: Moment) -> bool:
        """Waits until it is that far; False if it ends before."""
        end = time.monotonic() + RUN_TIMEOUT_S
        while self.runs() and self.moment() < moment:
            assert time.monotonic() < end, self.log
            time.sleep(0.01)
        return self.runs()

    def descendants(self, name: str = "") -> list[psutil.Process]:
        """Processes below it whose title has the name."""
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(self.process.pid).children(recursive=True)
            return [child for child in children if name in title(child)]
        return []

    def workers(self) -> list[psutil.Process]:
        """Those of Ray, or of a pool of this machine."""
        return [*self.descendants("ray::_Actor"), *self.descendants("local_worker")]

    def left_behind(self) -> list[str]:
        """Processes that name its folder in their arguments or environment."""
        left = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
                if any(bytes(self.folder) in word for word in words):
                    left.append(words[0].replace(b"\0", b" ").decode(errors="replace"))
        return left


def title(process: psutil.Process) -> str:
    """The first word of its command line, or `local_worker`."""
    try:
        words = process.cmdline()
        return "local_worker" if any("local_worker import" in word for word in words) else words[0]
    except (psutil.Error, IndexError):
        return ""


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@pytest.fixture
def start(job, tmp_path) -> Iterator[Callable[..., Running]]:
    """Starts the job on an executor."""
    videos, profile = job
    processes = []

    def begin(executor: str, **variables: str) -> Running:
        arguments = ["curate", str(videos), "--out", str(tmp_path / "out"), "--config",
                     str(profile), "--set", f"execution.executor={executor}"]  # fmt: skip
        (tmp_path / "progress").unlink(missing_ok=True)
        variables = {PROGRESS_VARIABLE: str(tmp_path / "progress"), **variables}
        with open(tmp_path / "log", "w") as log:
            process = subprocess.Popen(
                [*COMMAND, *arguments], env=environment() | variables, cwd=ROOT, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip
        processes.append(process)
        return Running(process, tmp_path, arguments)

    yield begin
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


def finish(running: Running, reference: Path) -> float:
    """The command again, to its end; then the output is the reference, and nothing is left.

    Returns the seconds that the command took.
    """
    end = time.monotonic() + END_TIMEOUT_S
    while left := running.left_behind():
        assert time.monotonic() < end, left
        time.sleep(0.1)
    started = time.monotonic()
    done = run(*running.arguments)
    recovery_s = time.monotonic() - started
    assert done.returncode == 3, done.stderr + done.stdout
    assert_same(running.out, reference)
    before = versions(running.out)
    assert run(*running.arguments).returncode == 3
    assert versions(running.out) == before
    assert [r.violations for r in verify(Dataset(running.out)) if not r.holds] == []
    return recovery_s


@pytest.mark.full_seeds(10)
def test_killed_drivers(fault_seed, start, undisturbed, record_fault):
    """The driver is killed again and again, each time further on."""
    moments = random.Random(f"driver {fault_seed}")
    running, killed = None, 0
    for moment in sorted(
        (moments.randrange(-1, len(STEPS)), moments.random()) for _ in range(DRIVERS_A_SEED)
    ):
        running = start(EXECUTORS[fault_seed % len(EXECUTORS)])
        if not running.wait_for(moment):
            break
        left = running.descendants()
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait()
        _, alive = psutil.wait_procs(left, END_TIMEOUT_S)
        assert not [child for child in alive if is_alive(child)], f"seed {fault_seed}, {moment}"
        killed += 1
    assert running is not None
    recovery_s = finish(running, undisturbed)
    record_fault("driver killed", faults=killed, recovery_s=recovery_s)


@pytest.mark.full_seeds(17)
def test_killed_workers(fault_seed, start, undisturbed, record_fault):
    """Two workers of each step are killed, and the run goes on."""
    moments = random.Random(f"worker {fault_seed}")
    due = sorted(
        (step, share)
        for step in range(len(STEPS))
        for share in (0.0, *(moments.random() for _ in range(WORKERS_A_STEP - 1)))
    )
    running = start(EXECUTORS[fault_seed % len(EXECUTORS)])
    killed: set[int] = set()
    while due and running.wait_for(due[0]):
        workers = [w for w in running.workers() if w.pid not in killed]
        if running.moment()[0] > due[0][0]:
            due.pop(0)
        elif workers:
            victim = moments.choice(workers)
            with contextlib.suppress(psutil.Error):
                victim.kill()
                killed.add(victim.pid)
                due.pop(0)
    assert len(killed) >= WORKERS_A_STEP, "the run ended before there was anything to kill"
    assert running.process.wait(RUN_TIMEOUT_S) == 3, f"seed {fault_seed}: {running.log}"
    recovery_s = finish(running, undisturbed)
    record_fault("worker killed", faults=len(killed), recovery_s=recovery_s)


@pytest.mark.full_seeds(10)
def test_killed_decoders(fault_seed, start, undisturbed, record_fault):
    """Most sources and clips lose a decoder once."""
    moments = random.Random(f"decoder {fault_seed}")
    running = start(EXECUTORS[fault_seed % len(EXECUTORS)])
    killed: set[str] = set()
    seen: dict[int, int] = {}
    workers: list[int] = []
    looked_at = 0.0
    while running.runs():
        if time.monotonic() > looked_at + 0.2:
            workers = [worker.pid for worker in running.workers()]
            looked_at = time.monotonic()
        for pid in children_of(workers):
            item, written = decoder(pid)
            threshold = seen.setdefault(pid, moments.choice(WRITTEN))
            if item and item not in killed and written >= threshold:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.add(item)
        time.sleep(0.002)
    assert killed, "the run ended before there was anything to kill"
    assert running.process.wait() == 3, f"seed {fault_seed}: {running.log}"
    recovery_s = finish(running, undisturbed)
    record_fault("decoder killed", faults=len(killed), recovery_s=recovery_s)


def children_of(pids: list[int]) -> Iterator[int]:
    for pid in pids:
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                yield from map(int, path.read_text().split())


def decoder(pid: int) -> tuple[str | None, int]:
    """The source or clip that a worker's child works on, and how many bytes it has written."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        written = re.search(r"wchar: (\d+)", Path(f"/proc/{pid}/io").read_text())
        item = re.search(r"[0-9a-f]{32}", words) or re.search(r"/videos/([\w.]+)", words)
        if item and written:
            return item[0], int(written[1])
    return None, 0


@pytest.mark.full_seeds(24)
def test_killed_ray(fault_seed, start, undisturbed, record_fault):
    """Ray's own processes are killed: the run stops in a sentence, and blames no input.

    A kill after the last result has come disturbs nothing, and is not counted.
    """
    name = ("raylet", "gcs_server")[fault_seed % 2]
    moments = random.Random(f"{name} {fault_seed}")
    running = start("ray", RAY_gcs_rpc_server_reconnect_timeout_s="5")
    assert running.wait_for((moments.randrange(len(STEPS)), moments.random()))
    victims = running.descendants(name)
    assert victims, "the run ended before there was anything to kill"
    victims[0].kill()
    code = running.process.wait(RUN_TIMEOUT_S)
    was_stopped = "reelmill: stopped: Ray ended in the middle of a step" in running.log
    assert code == (4 if was_stopped else 3), running.log
    assert "Traceback" not in running.log
    recovery_s = finish(running, undisturbed)
    record_fault(f"{name} killed", faults=int(was_stopped), recovery_s=recovery_s)


def test_the_job_keeps_clips_and_finds_the_copy(undisturbed):
    clips = Dataset(str(undisturbed)).clips().to_pylist()
    files = {clip["clip_id"]: Path(clip["uri"]).name for clip in clips}
    assert sum(clip["verdict"] == "kept" for clip in clips) >= 10
    copies = {files[clip["clip_id"]]: clip for clip in clips if clip["verdict"] == "duplicate"}
    assert files[copies["flight_copy.mkv"]["duplicate_of"]] == "flight.mp4"
