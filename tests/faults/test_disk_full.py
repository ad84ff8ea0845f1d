"""A disk that is full: one sentence, nothing lost, and with room again the same result."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from curation.dataset import Dataset
from curation.sample import Coding, write_numbered_video
from pipelines.service.database import Database
from pipelines.service.jobs.queue import JobQueue
from pipelines.service.schemas import JobRequest
from pipelines.verify import verify
from tests.faults.steps import STEPS, rows_at, table_versions

pytestmark = pytest.mark.faults
SIZES_KB = {"output": (1060, 1150, 1250, 1400, 1700), "scratch": (16, 64, 128, 256, 512)}
"""Below 1 MiB of free space an output counts as full."""


@pytest.fixture(scope="module")
def quiet(run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a video and of the output of a run with room."""
    folder = tmp_path_factory.mktemp("full")
    (folder / "videos").mkdir()
    write_numbered_video(folder / "videos/a.mp4", 60, cuts=(30,), coding=Coding(crf=30))
    for step in STEPS:
        assert run(step, (str(folder / "videos"), str(folder / "out")))[0] == 0, run.error
    return folder


def resize(disk: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


def state_of(out: Path) -> dict[str, list[dict[str, object]]]:
    dataset = Dataset(out)
    return {name: rows_at(dataset, name) for name in table_versions(dataset) if name != "runs"}


@pytest.mark.parametrize("place", SIZES_KB)
@pytest.mark.full_seeds(5)
def test_a_full_disk(place, fault_seed, run, quiet, small_disk, tmp_path_factory, record_fault):  # noqa: PLR0917
    size_kb = SIZES_KB[place][fault_seed % 5]
    resize(small_disk, f"{size_kb}k")
    apart = tmp_path_factory.mktemp("apart")
    out, scratch = (small_disk, apart) if place == "output" else (apart, small_disk)
    job = (str(quiet / "videos"), str(out / "out"))
    environment = {"TMPDIR": str(scratch)}
    faults, recovery_s = 0, 0.0
    for step in STEPS:
        run(step, job, environment=environment)
        if run.error:
            faults += 1
            assert "\n" not in run.error, run.error
            assert "No space left" in run.error, run.error
            resize(small_disk, "64m")
            start = time.monotonic()
            assert run(step, job, environment=environment)[0] == 0, run.error
            recovery_s = max(recovery_s, time.monotonic() - start)
            resize(small_disk, f"{used_kb(small_disk) + size_kb}k")
    assert [r.violations for r in verify(Dataset(out / "out")) if not r.holds] == []
    found, expected = state_of(out / "out"), state_of(quiet / "out")
    assert found.keys() == expected.keys()
    wrong = [name for name in found if found[name] != expected[name]]
    record_fault(f"full disk: {place}", faults=faults, wrong=len(wrong), recovery_s=recovery_s)


def used_kb(disk: Path) -> int:
    line = subprocess.run(
        ["df", "-k", "--output=used", str(disk)], check=True, capture_output=True, text=True
    ).stdout.splitlines()[1]
    return int(line)


@pytest.mark.full_seeds(5)
def test_a_full_disk_below_the_queue(fault_seed, small_disk, record_fault):
    """Each job is queued as a whole or refused, and none that was accepted is lost."""
    resize(small_disk, f"{(300, 400, 600, 900, 1500)[fault_seed % 5]}k")
    queue = JobQueue(Database(small_disk / "state.sqlite"))
    request = JobRequest(kind="select", collection="c")
    accepted, refused = [], []
    for number in range(2000):
        try:
            job, _ = queue.submit("o", request, ["x" * 2000], str(number), 1 << 20)
        except (sqlite3.OperationalError, OSError) as error:
            refused.append(str(error))
            if len(refused) > 3:
                break
        else:
            accepted.append(job.job_id)
    assert len(refused) > 3
    assert all("full" in message for message in refused), refused
    resize(small_disk, "64m")
    start = time.monotonic()
    job, _ = queue.submit("o", request, ["x"], "later", 1 << 20)
    recovery_s = time.monotonic() - start
    again = JobQueue(Database(small_disk / "state.sqlite"))
    stored = [job.job_id for job in again.newest(1 << 20)]
    assert len(stored) == len(set(stored))
    lost = len({*accepted, job.job_id} - set(stored))
    doubled = len(set(stored) - {*accepted, job.job_id})
    record_fault(
        "full disk: state", faults=len(refused), lost=lost, doubled=doubled, recovery_s=recovery_s
    )
