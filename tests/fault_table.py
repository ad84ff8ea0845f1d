"""The fault matrix as a table: what each row's tests recorded, one line a row.

A test records with the fixture `record_fault`; what it recorded travels in its
report, so that the table is the same under xdist. A file has a line of JSON for each test that
passed, written when it ends: what a session left undone the next one does, and files of several
sessions are merged by writing them one after the other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PROPERTY = "fault"


@dataclass
class FaultRow:
    """One row: sums over its tests, and the longest recovery."""

    seeds: set[int] = field(default_factory=set)
    faults: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    worst_recovery_s: float = 0.0

    def add(self, values: dict[str, Any]) -> None:
        self.seeds.add(int(values["seed"]))
        for name in ("faults", "lost", "doubled", "wrong"):
            setattr(self, name, getattr(self, name) + int(values[name]))
        self.worst_recovery_s = max(self.worst_recovery_s, values["recovery_s"])


class FaultTable:
    """Rows of this session, and of those before it that wrote the same file at the same scale."""

    def __init__(self, path: Path | None = None, scale: str = "") -> None:
        self._path, self._scale = path, scale
        self._rows: dict[str, FaultRow] = {}
        self._failed: list[str] = []
        self.done: set[str] = set()
        """Tests that passed in sessions before."""
        if path is not None and path.exists():
            for line in path.read_text().splitlines():
                self._read(json.loads(line))

    def _read(self, passed: dict[str, Any]) -> None:
        if passed["scale"] == self._scale and passed["test"] not in self.done:
            self.done.add(passed["test"])
            self._add_all(passed["faults"])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Adds what a test recorded; if it passed, to the file as well."""
        faults = [values for name, values in report.user_properties if name == PROPERTY]
        if report.when == "call":
            self._add_all(faults)
            if report.passed and faults and self._path is not None:
                line = {"test": report.nodeid, "scale": self._scale, "faults": faults}
                with self._path.open("a") as file:
                    file.write(json.dumps(line) + "\n")
        if report.failed and "faults" in report.keywords:
            self._failed.append(report.nodeid)

    def _add_all(self, faults: list[dict[str, Any]]) -> None:
        for values in faults:
            self._rows.setdefault(values["row"], FaultRow()).add(values)

    def lines(self) -> list[str]:
        """A Markdown table; empty if nothing was recorded."""
        if not self._rows:
            return []
        lines = [
            "| fault | seeds | faults | lost | doubled | wrong | worst recovery, s |",
            "|---|---|---|---|---|---|---|",
        ]
        for name, row in sorted(self._rows.items()):
            counts = (len(row.seeds), row.faults, row.lost, row.doubled, row.wrong)
            cells = [name, *(f"{count:,}" for count in counts), f"{row.worst_recovery_s:.1f}"]
            lines.append(f"| {' | '.join(cells)} |")
        lines += [f"failed: {test}" for test in self._failed]
        if self.done:
            lines.append(f"{len(self.done)} tests passed before, as {self._path} says")
        return lines
