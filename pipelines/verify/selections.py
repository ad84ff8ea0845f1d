"""Every clip is accounted for, in every selection and subset, and in every step."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation import records, subset
from curation.clip_table import visible_sources
from curation.dataset import Dataset
from curation.id_match import Bools, IdMatcher, one_chunk, to_bools
from curation.reasons import DUPLICATE_REASONS
from curation.records import Run, Source, SubsetClip, Verdict
from curation.scan.clips import compute_clip_ids
from curation.select.policy import FILTER_REASONS
from curation.select.selection import funnel
from curation.steps import clip_steps
from pipelines.verify.invariant import CheckResult
from pipelines.verify.outcomes import expect_committed_rows, expect_outcomes

_VERDICT_COLUMNS = ["clip_id", "source_id", "verdict", "reason", "duplicate_of"]


@dataclass(frozen=True)
class Clips:
    """The clips of scanned sources, sorted by id."""

    rows: pa.Table

    @classmethod
    def of(cls, dataset: Dataset, columns: Sequence[str]) -> Clips:
        """Reads `clip_id`, `source_id` and columns."""
        return cls(dataset.clip_columns(["source_id", *columns]))

    @cached_property
    def ids(self) -> IdMatcher:
        """Finds them in other columns."""
        return IdMatcher(self.rows["clip_id"])

    def contain(self, rows: pa.Table) -> Bools:
        """Which rows name a clip and the clip's source."""
        index = IdMatcher(rows["clip_id"]).rows(self.rows["clip_id"])
        return to_bools(pc.equal(one_chunk(self.rows["source_id"]).take(index), rows["source_id"]))


def check_clips(dataset: Dataset, result: CheckResult) -> None:
    """Every clip exists, and is kept, filtered, duplicate or failed."""
    clips = Clips.of(dataset, ["start_frame"])
    _check_digests(dataset, clips, result)
    kept = [*_check_selections(dataset, clips, result), _check_subsets(dataset, clips, result)]
    for step in clip_steps():
        for name in dataset.catalog.names(step.outcomes):
            columns = ["clip_id", "outcome", "reason"]
            rows = dataset.catalog.read(name, step.load_record(), columns)
            expect_committed_rows(dataset, name, len(rows), result)
            result.expect_unique(f"{name}: clip", rows["clip_id"])
            expect_outcomes(rows, step.success, f"{name}: clip ", "clip_id", result)
            matcher = IdMatcher(rows["clip_id"])
            was_kept = np.zeros(len(rows), bool)
            for ids in kept:
                was_kept |= to_bools(pc.is_valid(matcher.rows(ids)))
            result.expect_all(
                was_kept, {"clip_id": rows["clip_id"]},
                lambda row: f"{name}: clip {row['clip_id']} was never kept",  # noqa: B023
            )  # fmt: skip


def _check_digests(dataset: Dataset, clips: Clips, result: CheckResult) -> None:
    """Expects of each scanned source the clips that its scan found."""
    columns = ["uri", "source_id", "clips_digest"]
    scanned = pc.field("outcome") == "scanned"
    sources = dataset.catalog.read("sources", Source, columns, scanned)
    found = pc.unique(one_chunk(sources["source_id"]))
    digests = pa.array(_digests(clips.rows, found), pa.string())
    index = pc.index_in(one_chunk(sources["source_id"]), found)
    same = pc.equal(digests.take(index), one_chunk(sources["clips_digest"]))
    result.expect_all(
        to_bools(same),
        {"uri": sources["uri"]},
        lambda row: f"{row['uri']}: its clips are not those of its scan",
    )


def _digests(rows: pa.Table, source_ids: pa.Array) -> list[str]:
    """For each source the digest of its clips' ids, by their first frames."""
    source = pc.fill_null(pc.index_in(one_chunk(rows["source_id"]), source_ids), -1).to_numpy()
    order = np.lexsort((rows["start_frame"].to_numpy(), source))
    ids = one_chunk(rows["clip_id"]).take(pa.array(order)).cast(pa.large_string())
    bounds = np.searchsorted(source[order], np.arange(len(source_ids) + 1))
    _, offsets, content = ids.buffers()
    if content is None:
        return [hashlib.sha256(b"").hexdigest()] * len(source_ids)
    ends = np.frombuffer(offsets, np.int64)[bounds].tolist()
    text = memoryview(content)
    return [hashlib.sha256(text[start:end]).hexdigest() for start, end in itertools.pairwise(ends)]


def _check_selections(dataset: Dataset, clips: Clips, result: CheckResult) -> list[pa.Array]:
    """Checks every selection; returns the clips that each of them keeps."""
    runs = records.from_table(Run, dataset.runs())
    recorded = {run.result: json.loads(run.counts) for run in runs if run.step == "select"}
    names = dataset.catalog.values("selection", Verdict, "selection_id")
    kept = []
    for name in sorted({*recorded, *names}):
        where = pc.field("selection_id") == name
        rows = dataset.catalog.read("selection", Verdict, _VERDICT_COLUMNS, where)
        counts = dict(funnel(rows))
        message = f"selection {name}: {counts} is not the {recorded.get(name)} of its run"
        result.expect(counts == recorded.get(name, counts), message)
        kept.append(_check_selection(rows, clips, f"selection {name}", result))
    return kept


def _check_subsets(dataset: Dataset, clips: Clips, result: CheckResult) -> pa.Array:
    """Checks every subset that was exported; returns their clips."""
    columns = ["subset_id", "clip_id", "source_id"]
    rows = dataset.catalog.read(subset.SUBSETS, SubsetClip, columns)
    result.expect_all(
        clips.contain(rows),
        {name: rows[name] for name in columns[:2]},
        lambda row: f"subset {row['subset_id']}: clip {row['clip_id']} is not among the clips",
    )
    return one_chunk(pc.unique(rows["clip_id"]))


def _check_selection(rows: pa.Table, clips: Clips, name: str, result: CheckResult) -> pa.Array:
    """Expects a known verdict for each clip of its sources; returns the clips that it keeps."""
    is_kept = pc.equal(rows["verdict"], "kept")
    kept = one_chunk(rows["clip_id"].filter(is_kept))
    result.expect_unique(f"{name}: clip", rows["clip_id"])
    reasons = {"filtered": FILTER_REASONS, "duplicate": DUPLICATE_REASONS}
    valid = {
        verdict: pc.and_(
            pc.equal(rows["verdict"], verdict),
            pc.is_in(rows["reason"], pa.array([*words], pa.string())),
        )
        for verdict, words in reasons.items()
    }
    is_represented = pc.is_in(rows["duplicate_of"], kept)
    valid["duplicate"] = pc.and_(valid["duplicate"], is_represented)
    columns = ["clip_id", "verdict", "reason", "duplicate_of"]
    result.expect_all(
        to_bools(pc.or_(is_kept, pc.or_(valid["filtered"], valid["duplicate"]))),
        {column: rows[column] for column in columns},
        lambda row: f"{name}: clip {row['clip_id']} is {_words(row)}",
    )
    _expect_same_clips(rows, clips, name, result)
    return kept


def _words(row: dict[str, str | None]) -> str:
    return f"{row['verdict']} {row['reason'] or ''} {row['duplicate_of'] or ''}".strip()


def _expect_same_clips(rows: pa.Table, clips: Clips, name: str, result: CheckResult) -> None:
    """Expects the clips of each source that a selection has seen, and no others."""
    is_known = clips.contain(rows)
    is_seen = to_bools(pc.is_in(clips.rows["source_id"], one_chunk(pc.unique(rows["source_id"]))))
    known = rows["clip_id"].filter(pa.array(is_known))
    is_seen &= to_bools(pc.is_null(clips.ids.rows(known)))
    missing = clips.rows.filter(pa.array(is_seen)).select(["source_id", "clip_id"])
    extra = rows.filter(pa.array(~is_known)).select(["source_id", "clip_id"])
    if not (len(missing) or len(extra)):
        return
    rank = {source: n for n, source in enumerate(pc.unique(rows["source_id"]).to_pylist())}
    pairs = [
        (rank[row["source_id"]], is_extra, row["clip_id"])
        for is_extra, table in enumerate((missing, extra))
        for row in table.to_pylist()
    ]
    for _, is_extra, clip in sorted({*pairs}):
        problem = "is not among the clips" if is_extra else "has no verdict"
        result.expect(False, f"{name}: clip {clip} {problem}")


def check_clip_ids(dataset: Dataset, result: CheckResult) -> None:
    """Every clip is named by its content."""
    columns = ["start_frame", "end_frame", "start_pts", "end_pts", "time_base"]
    rows = Clips.of(dataset, columns).rows
    sources = visible_sources(dataset.catalog, ["stream_index"])
    index = pc.index_in(one_chunk(rows["source_id"]), one_chunk(sources["source_id"]))
    streams = pc.fill_null(one_chunk(sources["stream_index"]).take(index), 0)
    is_right = _are_named(rows, streams)
    failed = rows.filter(pa.array(~is_right))
    failed = failed.sort_by([("source_id", "ascending"), ("start_frame", "ascending")])
    result.checked += int(is_right.sum())
    result.expect_all(
        np.zeros(len(failed), bool),
        {"clip_id": failed["clip_id"]},
        lambda row: f"clip {row['clip_id']} is not named by its content",
    )


def _are_named(rows: pa.Table, streams: pa.Array) -> npt.NDArray[np.bool_]:
    """Whether each clip's id is that of its content, some clips at a time."""
    parts = [np.empty(0, bool)]
    for start in range(0, len(rows), _SLICE):
        part = rows.slice(start, _SLICE)
        ids = compute_clip_ids(part, streams.slice(start, _SLICE))
        parts.append(to_bools(pc.equal(one_chunk(part["clip_id"]), ids)))
    return np.concatenate(parts)


_SLICE = 65536
