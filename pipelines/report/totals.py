"""The counts that the report states, from the tables: inputs, clips and their outcomes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from curation.id_match import one_chunk
from curation.pending_inputs import pending_inputs, skipped_counts
from curation.reasons import INPUT_REASONS
from curation.select.policy import FILTER_REASONS
from curation.steps import StepInfo, clip_steps
from pipelines.report.snapshot import WAITING, OutputSnapshot, count_values

MAX_FAILURES = 500
"""Rows of a table of failures; the rest is counted."""


@dataclass(frozen=True)
class StepCounts:
    """Kept clips by their outcome in one step."""

    done: int
    failed: Counter[str]
    """By reason."""


@dataclass(frozen=True)
class FunnelCounts:
    """Everything that the funnel counts."""

    inputs: int
    scanned: int
    failed: Counter[str]
    """Inputs that failed, by reason."""
    pending_places: list[str]
    """Place of each input that was listed and never scanned."""
    skipped: Counter[str]
    """Files that listings skipped, by kind."""
    identical_inputs: int
    """Scanned inputs with the same bytes as another one."""
    source_s: float
    """Seconds of distinct source video."""
    clips: int
    clips_s: float
    kept: int
    kept_s: float
    filtered: Counter[str]
    """Clips by the reason for which they were filtered, in the order of the rules."""
    duplicates: int
    newer: int
    """Clips that were scanned after the selection was made."""
    steps: dict[str, StepCounts]
    """Kept clips by their outcome in each step of clips, by the step's name."""

    @property
    def clip_failures(self) -> int:
        """Kept clips that failed, counted in each step."""
        return sum(step.failed.total() for step in self.steps.values())


@dataclass(frozen=True)
class Failure:
    """One input that failed, or one clip in one step."""

    subject: str
    """Address of the input, or step, source and id of the clip."""
    reason: str
    meaning: str
    detail: str


def gather(output: OutputSnapshot) -> FunnelCounts:
    """Counts inputs and clips by outcome."""
    sources, clips = output.sources, output.clips
    scanned = sources.filter(pc.field("outcome") == "scanned")
    distinct = scanned.group_by("source_id").aggregate([("duration_s", "max")])
    seconds = output.values("duration_s")
    verdicts = {name: int(mask.sum()) for name, mask in output.verdicts.items()}
    is_selected = output.selection_id is not None
    reasons: Counter[str] = Counter()
    if is_selected:
        reasons = count_values(clips.filter(pc.field("verdict") == "filtered"), "reason")
    ranked = [*FILTER_REASONS, *sorted(set(reasons) - set(FILTER_REASONS))]
    return FunnelCounts(
        inputs=sources.num_rows,
        scanned=scanned.num_rows,
        failed=count_values(sources.filter(pc.field("outcome") == "failed"), "reason"),
        pending_places=pending_inputs(output.dataset.catalog)["place"].to_pylist(),
        skipped=sum(skipped_counts(output.dataset.catalog).values(), Counter()),
        identical_inputs=scanned.num_rows - distinct.num_rows,
        source_s=pc.sum(distinct["duration_s_max"]).as_py() or 0.0,
        clips=clips.num_rows,
        clips_s=float(seconds.sum()),
        kept=verdicts["kept"],
        kept_s=float(seconds[output.verdicts["kept"]].sum()),
        filtered=Counter({reason: reasons[reason] for reason in ranked if reason in reasons}),
        duplicates=verdicts["duplicate"],
        newer=verdicts[WAITING] if is_selected else 0,
        steps={step.name: _outcomes(output, step) for step in clip_steps()},
    )


def _outcomes(output: OutputSnapshot, step: StepInfo) -> StepCounts:
    rows = output.kept_outcomes(step)
    failed = rows.filter(pc.field("outcome") == "failed")
    return StepCounts(len(rows) - len(failed), count_values(failed, "reason"))


def failed_inputs(output: OutputSnapshot) -> list[Failure]:
    """Inputs that failed, by reason and address; at most `MAX_FAILURES`."""
    rows = output.sources.filter(pc.field("outcome") == "failed")
    rows = rows.sort_by([("reason", "ascending"), ("uri", "ascending")]).slice(0, MAX_FAILURES)
    return [_failure(row["uri"], row) for row in rows.to_pylist()]


def remarks(output: OutputSnapshot) -> list[tuple[str, str]]:
    """Addresses of unusual sources, and what is unusual about them."""
    rows = output.sources.filter(pc.is_valid(pc.field("remarks"))).sort_by("uri")
    return list(zip(rows["uri"].to_pylist(), rows["remarks"].to_pylist(), strict=True))


def failed_clips(output: OutputSnapshot) -> list[Failure]:
    """Kept clips that failed in a step; at most `MAX_FAILURES`."""
    failures: list[Failure] = []
    for step in clip_steps():
        rows = output.kept_outcomes(step).filter(pc.field("outcome") == "failed")
        rows = rows.sort_by("clip_id").slice(0, MAX_FAILURES - len(failures))
        index = pc.index_in(output.clips["clip_id"], one_chunk(rows["clip_id"]))
        known = output.clips.select(["clip_id", "uri"]).filter(pc.is_valid(index))
        for row in rows.join(known, "clip_id").sort_by("clip_id").to_pylist():
            failures.append(_failure(f"{step.name}: {row['uri']}, clip {row['clip_id']}", row))
    return failures


def _failure(subject: str, row: dict[str, Any]) -> Failure:
    reason = row["reason"] or "unknown"
    return Failure(subject, reason, INPUT_REASONS.get(reason, ""), row["detail"] or "")
