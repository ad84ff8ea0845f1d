"""Where the time went, from the runs that did work."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from curation.id_match import IdMatcher
from curation.steps import STEPS
from pipelines.report.snapshot import OutputSnapshot, parsed
from pipelines.report.totals import FunnelCounts


@dataclass(frozen=True)
class StepTiming:
    """All runs of one step that filled one table."""

    step: str
    result: str
    """The table, or the selection."""
    runs: int
    wall_s: float
    """Of all runs."""
    cpu: list[tuple[str, float]]
    """CPU seconds by part of the work, largest first."""
    video_s: float
    """Seconds of video that the step processed."""

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all parts."""
        return sum(seconds for _, seconds in self.cpu)

    @property
    def speed(self) -> float | None:
        """Seconds of video per wall second."""
        return self.video_s / self.wall_s if self.wall_s > 0 and self.video_s else None


def gather(output: OutputSnapshot, counts: FunnelCounts) -> list[StepTiming]:
    """One entry per step and table, in the order of the work; of selections the newest alone."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in output.runs:
        if run["step"] != "select" or run["result"] == output.selection_id:
            groups.setdefault((run["step"], run["result"]), []).append(run)
    timings = []
    for (step, result), runs in groups.items():
        cpu: defaultdict[str, float] = defaultdict(float)
        for run in runs:
            for part, seconds in parsed(run["cpu_seconds"]).items():
                if isinstance(seconds, int | float):
                    cpu[part] += seconds
        ranked = sorted(cpu.items(), key=lambda item: -item[1])
        wall_s = sum(run["seconds"] for run in runs)
        video_s = _video_s(output, counts, step, result)
        timings.append(StepTiming(step, result, len(runs), wall_s, ranked, video_s))
    order = [*STEPS]
    return sorted(timings, key=lambda t: order.index(t.step) if t.step in order else len(order))


def _video_s(output: OutputSnapshot, counts: FunnelCounts, step: str, result: str) -> float:
    if step == "scan":
        return counts.source_s
    if step == "select":
        return counts.clips_s
    if step not in STEPS:
        return 0.0
    processed = output.dataset.catalog.read(result, STEPS[step].load_record(), ["clip_id"])
    is_processed = pc.is_valid(IdMatcher(output.clips["clip_id"]).rows(processed["clip_id"]))
    return float(output.values("duration_s")[is_processed.to_numpy(zero_copy_only=False)].sum())
