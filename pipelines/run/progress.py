"""How far a job is, in a small file that others may read while it runs.

Where `REELMILL_PROGRESS` names a file, each step of a command writes it anew as it comes along: one
JSON object, whole at any moment, with one entry a step in the order in which they began:

    {"steps": [{"step": "scan", "things": "sources", "done": 3, "total": 9,
                "counts": {"scanned": 3}, "began": 1700000000.0, "at": 1700000009.5}]}

`began` and `at` (the newest news) are seconds since 1970.
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
_SECONDS = 0.5
_steps: list[dict[str, Any]] = []


def with_progress_file(step: str, unit: str, on_progress: ProgressCallback) -> ProgressCallback:
    """The watch, which from now on also writes the file; the watch itself where none is named."""
    path = os.environ.get(PROGRESS_VARIABLE)
    if not path:
        return on_progress
    entry = _add_entry(step, unit)
    last = 0.0

    def move(done: int, total: int, tally: Progress) -> None:
        nonlocal last
        entry.update(done=done, total=total, counts=dict(tally.counts), at=time.time())
        if done in (0, total) or time.monotonic() - last >= _SECONDS:
            last = time.monotonic()
            _write(path)
        on_progress(done, total, tally)

    return move


def record_finished(step: str, unit: str, counts: Mapping[str, int]) -> None:
    """Records a step that was done at once."""
    if path := os.environ.get(PROGRESS_VARIABLE):
        total = sum(counts.values())
        _add_entry(step, unit).update(done=total, total=total, counts=dict(counts))
        _write(path)


def _add_entry(step: str, unit: str) -> dict[str, Any]:
    now = time.time()
    entry = {"step": step, "things": unit, "done": 0, "total": 0, "counts": {}}
    _steps.append(entry | {"began": now, "at": now})
    return _steps[-1]


def _write(path: str) -> None:
    """Progress is news, not a result: where it cannot be written, the work goes on."""
    with contextlib.suppress(OSError):
        temporary = f"{path}.{os.getpid()}"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump({"steps": _steps}, file)
        os.replace(temporary, path)
