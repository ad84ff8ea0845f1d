"""Every clip is accounted for, in every selection and subset, and in every step."""

from __future__ import annotations

import hashlib
import json

import pyarrow.compute as pc

from curation import records, subset
from curation.dataset import VERDICTS, Dataset
from curation.reasons import DUPLICATE_REASONS
from curation.records import Clip, Run, Source, SubsetClip, Verdict
from curation.scan.clips import compute_clip_id
from curation.select.policy import FILTER_REASONS
from curation.select.selection import funnel
from curation.steps import clip_steps
from pipelines.verify.invariant import CheckResult
from pipelines.verify.outcomes import expect_committed_rows, expect_outcome


def check_clips(dataset: Dataset, result: CheckResult) -> None:
    """Every clip exists, and is kept, filtered, duplicate or failed."""
    clips = _clips_by_source(dataset)
    for source in records.from_table(Source, dataset.sources()):
        if source.outcome == "scanned":
            ids = "".join(clip.clip_id for clip in clips.get(source.source_id or "", []))
            same = hashlib.sha256(ids.encode()).hexdigest() == source.clips_digest
            result.expect(same, f"{source.uri}: its clips are not those of its scan")
    ids_by_source = {source: {clip.clip_id for clip in rows} for source, rows in clips.items()}
    kept = _check_selections(dataset, ids_by_source, result)
    kept |= _check_subsets(dataset, ids_by_source, result)
    for step in clip_steps():
        for name in dataset.catalog.names(step.outcomes):
            rows = records.from_table(
                step.load_record(), dataset.catalog.read(name, step.load_record())
            )
            expect_committed_rows(dataset, name, len(rows), result)
            result.expect_unique([row.clip_id for row in rows], f"{name}: clip")
            for row in rows:
                subject = f"{name}: clip {row.clip_id}"
                expect_outcome(row, step.success, subject, result)
                result.expect(row.clip_id in kept, f"{subject} was never kept")


def _check_selections(
    dataset: Dataset, ids_by_source: dict[str, set[str]], result: CheckResult
) -> set[str]:
    """Checks every selection; returns the clips that any of them keeps."""
    rows = dataset.catalog.read("selection", Verdict)
    runs = records.from_table(Run, dataset.runs())
    recorded = {run.result: json.loads(run.counts) for run in runs if run.step == "select"}
    kept: set[str] = set()
    for name in sorted({*recorded, *rows["selection_id"].to_pylist()}):
        selection = rows.filter(pc.field("selection_id") == name)
        counts = dict(funnel(selection))
        message = f"selection {name}: {counts} is not the {recorded.get(name)} of its run"
        result.expect(counts == recorded.get(name, counts), message)
        verdicts = records.from_table(Verdict, selection)
        kept |= _check_selection(verdicts, ids_by_source, f"selection {name}", result)
    return kept


def _check_subsets(
    dataset: Dataset, ids_by_source: dict[str, set[str]], result: CheckResult
) -> set[str]:
    """Checks every subset that was exported; returns their clips."""
    rows = records.from_table(SubsetClip, dataset.catalog.read(subset.SUBSETS, SubsetClip))
    for row in rows:
        message = f"subset {row.subset_id}: clip {row.clip_id} is not among the clips"
        result.expect(row.clip_id in ids_by_source.get(row.source_id, set()), message)
    return {row.clip_id for row in rows}


def _check_selection(
    verdicts: list[Verdict], ids_by_source: dict[str, set[str]], name: str, result: CheckResult
) -> set[str]:
    """Expects a known verdict for each clip of its sources; returns the clips that it keeps."""
    kept = {verdict.clip_id for verdict in verdicts if verdict.verdict == VERDICTS[0]}
    result.expect_unique([verdict.clip_id for verdict in verdicts], f"{name}: clip")
    clips_of: dict[str, set[str]] = {}
    for verdict in verdicts:
        clips_of.setdefault(verdict.source_id, set()).add(verdict.clip_id)
        valid = {
            "kept": True,
            "filtered": verdict.reason in FILTER_REASONS,
            "duplicate": verdict.duplicate_of in kept and verdict.reason in DUPLICATE_REASONS,
        }.get(verdict.verdict, False)
        words = f"{verdict.verdict} {verdict.reason or ''} {verdict.duplicate_of or ''}".strip()
        result.expect(valid, f"{name}: clip {verdict.clip_id} is {words}")
    for source, clips in clips_of.items():
        expected = ids_by_source.get(source, set())
        for clip in sorted(expected - clips):
            result.expect(False, f"{name}: clip {clip} has no verdict")
        for clip in sorted(clips - expected):
            result.expect(False, f"{name}: clip {clip} is not among the clips")
    return kept


def check_clip_ids(dataset: Dataset, result: CheckResult) -> None:
    """Every clip is named by its content."""
    streams = {
        source.source_id: source.stream_index
        for source in records.from_table(Source, dataset.sources())
        if source.outcome == "scanned"
    }
    for source_id, clips in _clips_by_source(dataset).items():
        for clip in clips:
            clip_id = compute_clip_id(clip, streams[source_id] or 0)
            message = f"clip {clip.clip_id} is not named by its content"
            result.expect(clip.clip_id == clip_id, message)


def _clips_by_source(dataset: Dataset) -> dict[str, list[Clip]]:
    rows = dataset.all_clips().sort_by([("source_id", "ascending"), ("start_frame", "ascending")])
    clips: dict[str, list[Clip]] = {}
    for clip in records.from_table(Clip, rows):
        clips.setdefault(clip.source_id, []).append(clip)
    return clips
