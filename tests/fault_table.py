"""The fault matrix as a table: what each row's tests recorded, one line a row.

A test records with the fixture `record_fault`; what it recorded travels in its
report, so that the table is the same under xdist.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
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
    """Collects the rows of a test session."""

    def __init__(self) -> None:
        self._rows: dict[str, FaultRow] = {}
        self._failed: list[str] = []

    def add(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            for name, values in report.user_properties:
                if name == PROPERTY:
                    self._rows.setdefault(values["row"], FaultRow()).add(values)
        if report.failed and "faults" in report.keywords:
            self._failed.append(report.nodeid)

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
        return lines

    def write(self, path: str) -> None:
        rows = {name: asdict(row) | {"seeds": len(row.seeds)} for name, row in self._rows.items()}
        Path(path).write_text(json.dumps({"rows": rows, "failed": self._failed}, indent=1))
