"""Every clip is accounted for, in every selection, subset and render."""

from __future__ import annotations

import hashlib
import json

import pyarrow.compute as pc

from curation import records, subset
from curation.dataset import VERDICTS, Dataset
from curation.reasons import DUPLICATE_REASONS
from curation.records import Clip, Render, Run, Source, Subset, Verdict
from curation.scan.clips import clip_name
from curation.select.policy import FILTER_REASONS
from curation.select.selection import funnel
from pipelines.verify.invariant import Promise
from pipelines.verify.outcomes import reasoned, recorded


def accounted(dataset: Dataset, promise: Promise) -> None:
    """Every clip is there, and kept, filtered, duplicate or failed."""
    clips = _by_source(dataset)
    for source in records.records(Source, dataset.sources()):
        if source.outcome == "scanned":
            ids = "".join(clip.clip_id for clip in clips.get(source.source_id or "", []))
            same = hashlib.sha256(ids.encode()).hexdigest() == source.clips_digest
            promise.expect(same, f"{source.uri}: its clips are not those that were found")
    known = {source: {clip.clip_id for clip in listed} for source, listed in clips.items()}
    kept = _selections(dataset, known, promise) | _subsets(dataset, known, promise)
    for name in dataset.catalog.names("renders"):
        rows = records.records(Render, dataset.catalog.read(name, Render))
        recorded(dataset, name, len(rows), promise)
        promise.once([row.clip_id for row in rows], f"{name}: clip")
        for row in rows:
            reasoned(row, "rendered", f"{name}: clip {row.clip_id}", promise)
            promise.expect(row.clip_id in kept, f"{name}: clip {row.clip_id} was never kept")


def _selections(dataset: Dataset, known: dict[str, set[str]], promise: Promise) -> set[str]:
    """Checks every selection; returns the clips that any of them keeps."""
    rows = dataset.catalog.read("selection", Verdict)
    runs = records.records(Run, dataset.runs())
    told = {run.result: json.loads(run.counts) for run in runs if run.step == "select"}
    kept: set[str] = set()
    for name in sorted({*told, *rows["selection_id"].to_pylist()}):
        own = rows.filter(pc.field("selection_id") == name)
        found = dict(funnel(own))
        words = f"selection {name}: {found} is not the {told.get(name)} that was found"
        promise.expect(found == told.get(name, found), words)
        verdicts = records.records(Verdict, own)
        kept |= _selection(verdicts, known, f"selection {name}", promise)
    return kept


def _subsets(dataset: Dataset, known: dict[str, set[str]], promise: Promise) -> set[str]:
    """Checks every subset that was exported; returns their clips."""
    rows = records.records(Subset, dataset.catalog.read(subset.TABLE, Subset))
    for row in rows:
        words = f"subset {row.subset_id}: clip {row.clip_id} is not among the clips"
        promise.expect(row.clip_id in known.get(row.source_id, set()), words)
    return {row.clip_id for row in rows}


def _selection(
    verdicts: list[Verdict], known: dict[str, set[str]], name: str, promise: Promise
) -> set[str]:
    kept = {v.clip_id for v in verdicts if v.verdict == VERDICTS[0]}
    promise.once([v.clip_id for v in verdicts], f"{name}: clip")
    for verdict in verdicts:
        good = {
            "kept": True,
            "filtered": verdict.reason in FILTER_REASONS,
            "duplicate": verdict.duplicate_of in kept and verdict.reason in DUPLICATE_REASONS,
        }.get(verdict.verdict, False)
        words = f"{verdict.verdict} {verdict.reason or ''} {verdict.duplicate_of or ''}".strip()
        promise.expect(good, f"{name}: clip {verdict.clip_id} is {words}")
    judged: dict[str, set[str]] = {}
    for verdict in verdicts:
        judged.setdefault(verdict.source_id, set()).add(verdict.clip_id)
    for source, clips in judged.items():
        there = known.get(source, set())
        for clip in sorted(there - clips):
            promise.expect(False, f"{name}: clip {clip} has no verdict")
        for clip in sorted(clips - there):
            promise.expect(False, f"{name}: clip {clip} is not among the clips")
    return kept


def identities(dataset: Dataset, promise: Promise) -> None:
    """Every clip is named by its content."""
    streams = {
        source.source_id: source.stream_index
        for source in records.records(Source, dataset.sources())
        if source.outcome == "scanned"
    }
    for source_id, clips in _by_source(dataset).items():
        for clip in clips:
            name = clip_name(clip, streams[source_id] or 0)
            promise.expect(clip.clip_id == name, f"clip {clip.clip_id} is not what it is called")


def _by_source(dataset: Dataset) -> dict[str, list[Clip]]:
    rows = dataset.all_clips().sort_by([("source_id", "ascending"), ("start_frame", "ascending")])
    clips: dict[str, list[Clip]] = {}
    for clip in records.records(Clip, rows):
        clips.setdefault(clip.source_id, []).append(clip)
    return clips
