"""Kills at seeded moments; then the same command again gives what an undisturbed run gives."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.outputs import COMMAND, ROOT, assert_same, environment, run, tables, versions

pytestmark = pytest.mark.faults


def processes() -> dict[int, tuple[int, str]]:
    """Parent and command line of every living process, read from /proc."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if status[0] != "Z":
                found[int(entry.name)] = (int(status[1]), words)
    return found


def living() -> set[int]:
    return set(processes())


def children(pid: int) -> dict[int, str]:
    """Every living descendant of a process and its command line."""
    known = processes()
    found: dict[int, str] = {}
    fresh = {pid}
    while fresh:
        fresh = {child for child, (parent, _) in known.items() if parent in fresh}
        found |= {child: known[child][1] for child in fresh}
    return found


def is_worker(command: str) -> bool:
    return command.startswith("ray::") and "MapWorker" in command


def is_decoder(command: str) -> bool:
    return "ffmpeg" in command.split(" ", 1)[0]


TARGETS: dict[str, Callable[[str], bool]] = {"worker": is_worker, "decoder": is_decoder}


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


def finish(job, out: Path, reference: Path) -> None:
    """The same command to its end; then once more, which does nothing."""
    videos, profile = job
    again = ["curate", str(videos), "--out", str(out), "--config", str(profile)]
    done = run(*again)
    assert done.returncode == 3, done.stderr + done.stdout
    assert_same(out, reference)
    before = versions(out)
    assert run(*again).returncode == 3
    assert versions(out) == before
    checked = run("verify", str(out))
    assert checked.returncode == 0, checked.stdout


def test_killed_driver(fault_seed, started, job, undisturbed):
    process, out = started
    random_ = random.Random(f"driver {fault_seed}")
    assert wait_until(lambda: (out / "clips").exists() or process.poll() is not None, 60)
    time.sleep(random_.uniform(0, 9))
    left = children(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert wait_until(lambda: not living() & left.keys(), 30), left
    finish(job, out, undisturbed)


@pytest.mark.parametrize("target", TARGETS)
def test_killed_child(target, fault_seed, started, job, undisturbed):
    process, out = started
    random_ = random.Random(f"{target} {fault_seed}")
    chosen = TARGETS[target]

    def victims() -> list[int]:
        return [pid for pid, command in children(process.pid).items() if chosen(command)]

    assert wait_until(lambda: victims() or process.poll() is not None, 60)
    time.sleep(random_.uniform(0, 5))
    killed = 0
    while process.poll() is None and not killed:
        for pid in victims()[:1]:
            os.kill(pid, signal.SIGKILL)
            killed = pid
    assert killed, "the run ended before there was anything to kill"
    assert process.wait(180) == 3, (out.parent / "log").read_text()
    finish(job, out, undisturbed)


def test_the_job_keeps_clips_and_finds_the_duplicate(undisturbed):
    verdicts = [row["verdict"] for row in tables(undisturbed)["selection"]]
    assert verdicts.count("kept") >= 10
    assert verdicts.count("duplicate") == 1
