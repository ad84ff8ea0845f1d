"""The table `runs`: recording a run, and the results of earlier ones."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import platform
import secrets
import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

import pyarrow.compute as pc

from curation import records
from curation.catalog import Catalog
from curation.records import Run
from curation.row_times import time_after

_TIMESPEC = "milliseconds"


class RunClock:
    """When a run started, and its seconds so far."""

    def __init__(self) -> None:
        self.started = datetime.now(timezone.utc).isoformat(timespec=_TIMESPEC)
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Wall time since the start."""
        return round(time.monotonic() - self._start, 3)


def record_run(
    catalog: Catalog,
    step: str,
    clock: RunClock,
    *,
    config: Mapping[str, Any],
    packages: Iterable[str],
    counts: Mapping[str, int],
    result: str,
    cpu_seconds: Mapping[str, float] | None = None,
    selection_id: str | None = None,
) -> None:
    """Appends a run, with the versions of those packages that are installed.

    It counts as newer than every run that has ended, whatever the clock was then.
    """
    versions = {"python": platform.python_version()}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    newest = pc.max(catalog.read("runs", Run, ["started"])["started"]).as_py()
    rounded = {part: round(seconds, 3) for part, seconds in (cpu_seconds or {}).items()}
    run = Run(
        run_id=secrets.token_hex(8),
        step=step,
        started=time_after([newest], _TIMESPEC, clock.started),
        seconds=clock.seconds,
        config=json.dumps(config, sort_keys=True),
        versions=json.dumps(versions, sort_keys=True),
        counts=json.dumps(counts, sort_keys=True),
        cpu_seconds=json.dumps(rounded, sort_keys=True),
        result=result,
        selection_id=selection_id,
    )
    catalog.append("runs", Run, records.to_table(Run, [run]))


def run_results(catalog: Catalog, step: str, selection_id: str | None = None) -> list[str]:
    """The tables or selections that runs of a step made, the oldest first.

    Runs that worked on a subset of clips, from a search, count as older than all others; those on
    the subset `selection_id` as newer.
    """
    columns = ["step", "started", "result", "selection_id"]
    rows = catalog.read("runs", Run, columns).sort_by("started").to_pylist()
    selections = {row["result"] for row in rows if row["step"] == "select"} | {None}

    def rank(row: dict[str, str | None]) -> int:
        worked_on = row["selection_id"]
        return 1 if worked_on in selections else 2 if worked_on == selection_id else 0

    return [row["result"] for row in sorted(rows, key=rank) if row["step"] == step]


def latest_selection(catalog: Catalog) -> str | None:
    """Id of the selection that was asked for last, or None."""
    results = run_results(catalog, "select")
    return results[-1] if results else None
