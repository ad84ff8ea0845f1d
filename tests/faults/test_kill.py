"""Kills at seeded moments; then the same command again gives what an undisturbed run gives."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from curation.dataset import Dataset
from tests.outputs import COMMAND, ROOT, assert_same, environment, run, versions

pytestmark = pytest.mark.faults


def children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True) if psutil.pid_exists(pid) else []


TARGETS = {"worker": ("MapWorker", 3, 2.0), "decoder": ("ffmpeg", 6, 0.0)}
"""What is killed: a word of its command line, the last of them that may be it, and how many seconds
after it was met."""
PROGRESS = ("clips", "selections", "renders", "tokens")
"""Tables in the order in which a run writes them."""


def runs(process: psutil.Process) -> bool:
    """Whether it does more than wait for its parent to notice its end."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def named(process: psutil.Process, name: str) -> bool:
    try:
        return name in " ".join(process.cmdline()[:1])
    except psutil.Error:
        return False


@pytest.fixture
def started(job, tmp_path) -> Iterator[tuple[subprocess.Popen, Path]]:
    """The job on Ray, just started."""
    videos, profile = job
    out = tmp_path / "out"
    command = [*COMMAND, "curate", str(videos), "--out", str(out), "--config", str(profile)]
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(
            command, env=environment(), cwd=ROOT, stdout=log, stderr=log, start_new_session=True
        )
        yield process, out
        if process.poll() is None:
            process.kill()
        process.wait()


def wait_until(condition: Callable[[], object], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def curate(job, out: Path) -> None:
    videos, profile = job
    done = run("curate", str(videos), "--out", str(out), "--config", str(profile))
    assert done.returncode == 3, done.stderr + done.stdout


def check_complete(job, out: Path, reference: Path) -> None:
    """The output is the reference; the same command does nothing more."""
    assert_same(out, reference)
    before = versions(out)
    curate(job, out)
    assert versions(out) == before
    checked = run("verify", str(out))
    assert checked.returncode == 0, checked.stdout


def test_killed_driver(fault_seed, started, job, undisturbed):
    process, out = started
    random_ = random.Random(f"driver {fault_seed}")
    table = out / random_.choice(PROGRESS)
    assert wait_until(lambda: table.exists() or process.poll() is not None, 120)
    time.sleep(random_.uniform(0, 2))
    left = children(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(left, 30)
    assert not [child for child in alive if runs(child)]
    curate(job, out)
    check_complete(job, out, undisturbed)


@pytest.mark.parametrize("target", TARGETS)
def test_killed_child(target, fault_seed, started, job, undisturbed):
    process, out = started
    random_ = random.Random(f"{target} {fault_seed}")
    name, last, most_s = TARGETS[target]
    turn, delay_s = random_.randint(1, last), random_.uniform(0, most_s)
    met: set[int] = set()
    moment = killed = None
    while process.poll() is None and killed is None:
        for victim in [child for child in children(process.pid) if named(child, name)]:
            met.add(victim.pid)
            if len(met) >= turn:
                moment = moment or time.monotonic() + delay_s
                if time.monotonic() >= moment:
                    killed = victim
                    killed.kill()
                    break
        time.sleep(0.01)
    assert killed, "the run ended before there was anything to kill"
    assert process.wait(180) == 3, (out.parent / "log").read_text()
    check_complete(job, out, undisturbed)


def test_the_job_keeps_clips_and_finds_the_copy(undisturbed):
    clips = Dataset(str(undisturbed)).clips().to_pylist()
    files = {clip["clip_id"]: Path(clip["uri"]).name for clip in clips}
    assert sum(clip["verdict"] == "kept" for clip in clips) >= 10
    copies = {files[clip["clip_id"]]: clip for clip in clips if clip["verdict"] == "duplicate"}
    assert files[copies["flight_copy.mkv"]["duplicate_of"]] == "flight.mp4"
