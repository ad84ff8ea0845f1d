"""Where the time went, from the runs that did work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from curation.records import Render
from pipelines.report.snapshot import Output, parsed
from pipelines.report.totals import Counts
from tokenizer.tokenize.stage import TokenizedClip

_STEPS = ("scan", "select", "render", "tokenize")


@dataclass(frozen=True)
class Stage:
    """All runs of one step that filled one table."""

    step: str
    made: str
    """The table, or the selection."""
    runs: int
    seconds: float
    """Wall time of all runs."""
    cpu: list[tuple[str, float]]
    """CPU seconds by part of the work, largest first."""
    video_s: float
    """Seconds of video that the step worked on."""

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds of all parts."""
        return sum(seconds for _, seconds in self.cpu)

    @property
    def speed(self) -> float | None:
        """Seconds of video a wall second."""
        return self.video_s / self.seconds if self.seconds > 0 and self.video_s else None


def gather(output: Output, counts: Counts) -> list[Stage]:
    """One entry a step and table, in the order of the work; of selections the newest alone."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in output.runs:
        if run["step"] != "select" or run["result"] == output.selection_id:
            groups.setdefault((run["step"], run["result"]), []).append(run)
    stages = []
    for (step, made), runs in groups.items():
        cpu: dict[str, float] = {}
        for run in runs:
            parts = parsed(run["cpu_seconds"])
            for part, seconds in parts.items():
                if isinstance(seconds, int | float):
                    cpu[part] = cpu.get(part, 0.0) + seconds
        ranked = sorted(cpu.items(), key=lambda item: -item[1])
        wall = sum(run["seconds"] for run in runs)
        video_s = _video_s(output, counts, step, made)
        stages.append(Stage(step, made, len(runs), wall, ranked, video_s))
    return sorted(stages, key=lambda s: _STEPS.index(s.step) if s.step in _STEPS else len(_STEPS))


def _video_s(output: Output, counts: Counts, step: str, made: str) -> float:
    if step == "scan":
        return counts.source_s
    if step == "select":
        return counts.clips_s
    if step not in ("render", "tokenize"):
        return 0.0
    done = output.dataset.catalog.values(
        made, Render if step == "render" else TokenizedClip, "clip_id"
    )
    ids = output.clips["clip_id"].to_pylist()
    worked = np.fromiter((clip in done for clip in ids), bool, len(ids))
    return float(output.values["duration_s"][worked].sum())
