"""The clock jumps by a day between steps: the result is the same, and the newest is the newest."""

from __future__ import annotations

import glob
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from curation.dataset import Dataset
from curation.sample import Coding, write_numbered_video
from pipelines.verify import verify
from tests.faults.steps import STEPS, Worker, rows_at, table_versions, worker

LIBRARY = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None)
pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(LIBRARY is None, reason="libfaketime (Debian: libfaketime) is not here"),
]
CLOCKS = ("-1d", "+0", "+1d")
LOOSE = ("policy.near_duplicates=null",)


@pytest.fixture(scope="module")
def workers() -> Iterator[dict[str, Worker]]:
    """A worker for each clock; the times of files are the kernel's."""
    own = {"LD_PRELOAD": LIBRARY or "", "NO_FAKE_STAT": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    with (
        worker(FAKETIME="-1d", **own) as back,
        worker() as now,
        worker(FAKETIME="+1d", **own) as on,
    ):
        yield {"-1d": back, "+0": now, "+1d": on}


def state_of(out: Path) -> dict[str, list[dict[str, object]]]:
    dataset = Dataset(out)
    return {name: rows_at(dataset, name) for name in table_versions(dataset) if name != "runs"}


@pytest.mark.full_seeds(5)
def test_a_clock_that_jumps_by_a_day(fault_seed, workers, tmp_path, record_fault):
    rng = random.Random(fault_seed)
    (tmp_path / "videos").mkdir()
    write_numbered_video(tmp_path / "videos/a.mp4", 60, cuts=(30,), coding=Coding(crf=30))
    out, quiet = tmp_path / "out", tmp_path / "quiet"
    videos, last, jumps, worst_s = str(tmp_path / "videos"), "+0", 0, 0.0
    selected = []
    runs = [(step, ()) for step in STEPS] + [("select", LOOSE), ("render", ()), ("select", ())]
    for step, settings in runs:
        assert workers["+0"](step, (videos, str(quiet)), settings=settings)[0] == 0
        last = rng.choice([clock for clock in CLOCKS if clock != last])
        jumps += 1
        run, start = workers[last], time.monotonic()
        assert run(step, (videos, str(out)), settings=settings)[0] == 0, run.error
        worst_s = max(worst_s, time.monotonic() - start)
        assert run(step, (videos, str(out)), settings=settings)[0] == 0, run.error
        selected.append(Dataset(out).latest_selection())
        assert selected[-1] == Dataset(quiet).latest_selection(), f"{step} at {last}"
    assert len(set(selected)) == 3  # none, the first and the loose one
    found, expected = state_of(out), state_of(quiet)
    assert found.keys() == expected.keys()
    assert [r.violations for r in verify(Dataset(out)) if not r.holds] == []
    wrong = sum(found[name] != expected[name] for name in found)
    record_fault("clock jumps by a day", faults=jumps, wrong=wrong, recovery_s=worst_s)
