"""The progress of a job, in a small file that others may read while it runs.

Where `REELMILL_PROGRESS` names a file, each step of a command keeps it up to date: one JSON object,
replaced atomically, with one entry per step in the order in which they began:

    {"steps": [{"step": "scan", "unit": "sources", "done": 3, "total": 9,
                "before": 1, "counts": {"scanned": 2}, "video_s": 61.5,
                "workers": 2, "waiting": 4, "busy": 0.97,
                "began": 1700000000.0, "at": 1700000009.5}]}

`before` is how many of those done had an outcome before this run, `video_s` the seconds of video
that it finished. `workers` there are now, `waiting` items have been made and have none, and `busy`
is the share of their time in which workers worked. `began` and `at` (the last update) are seconds
since 1970.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from typing import Any

from pipelines.run.step_runner import Progress, ProgressCallback

PROGRESS_VARIABLE = "REELMILL_PROGRESS"
_INTERVAL_S = 0.5
_steps: list[dict[str, Any]] = []


def with_progress_file(step: str, unit: str, on_progress: ProgressCallback) -> ProgressCallback:
    """A callback that also writes the file; the callback itself where no file is named."""
    path = os.environ.get(PROGRESS_VARIABLE)
    if not path:
        return on_progress
    entry: dict[str, Any] = {}
    last = 0.0

    def update(done: int, total: int, progress: Progress) -> None:
        nonlocal entry, last
        entry = entry or _add_entry(step, unit)
        load = progress.load
        entry.update(
            done=done, total=total, before=progress.before, counts=dict(progress.counts),
            video_s=progress.video_s, workers=load.workers, waiting=load.waiting,
            busy=load.busy_share, at=time.time(),
        )  # fmt: skip
        if done in (progress.before, total) or time.monotonic() - last >= _INTERVAL_S:
            last = time.monotonic()
            _write(path)
        on_progress(done, total, progress)

    return update


def record_finished(step: str, unit: str, counts: Mapping[str, int]) -> None:
    """Records a step that finished at once."""
    if path := os.environ.get(PROGRESS_VARIABLE):
        total = sum(counts.values())
        _add_entry(step, unit).update(done=total, total=total, counts=dict(counts))
        _write(path)


def _add_entry(step: str, unit: str) -> dict[str, Any]:
    now = time.time()
    entry = {"step": step, "unit": unit, "done": 0, "total": 0, "before": 0, "counts": {}}
    _steps.append(entry | {"began": now, "at": now})
    return _steps[-1]


def _write(path: str) -> None:
    """Writes the file; if it cannot be written, the work continues."""
    with contextlib.suppress(OSError):
        temporary = f"{path}.{os.getpid()}"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump({"steps": _steps}, file)
        os.replace(temporary, path)
