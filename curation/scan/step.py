"""The scan step: new sources, side tables to backfill, and committing the results."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.catalog import Catalog
from curation.clip_table import scanned_ids, visible_sources
from curation.dataset import sources_by_id
from curation.errors import ReelmillError
from curation.id_match import IdMatcher, one_chunk
from curation.listing import Entry, entry_at
from curation.records import Clip, Source
from curation.scan.collector import THUMBNAILS
from curation.scan.known_sources import KnownSources
from curation.scan.sources import source_row
from curation.scan.stage import Scan, ScanItem, ScanResult
from curation.scores import SCORES, table_name
from curation.signals.blocks import (
    RECORDINGS,
    SAMPLES,
    SIGNAL_TABLES,
    ClipRecording,
    SignalBlock,
    missing_signals,
)
from curation.signals.read import find_recording
from curation.signals.signal import SignalError
from curation.stage import Done, Failed
from curation.step import StepRequest
from curation.table_writer import Writer

_ENTRY_COLUMNS = ["uri", "size_bytes", "modified"]


class SettingsError(ReelmillError, ValueError):
    """The output was scanned with other settings."""


def plan(request: StepRequest) -> ScanStep:
    """The step over the listed inputs."""
    entries = request.listing.entries if request.listing else ()
    return ScanStep(request.dataset.catalog, request.settings.scan, entries, request.retry)


@dataclass(frozen=True)
class ScanStep:
    """Scans listed inputs without an outcome, and backfills side tables that lack a source."""

    catalog: Catalog
    stage: Scan
    entries: Sequence[Entry]
    retry: frozenset[str] = frozenset()
    """Reasons of failure to retry."""
    name: str = "scan"
    result: str = "sources"

    @property
    def tables(self) -> dict[str, type]:
        """Clips, side tables, and `sources`, which is written last and commits the rest."""
        return {"clips": Clip, **self.stage.side_tables, "sources": Source}

    def todo(self) -> list[ScanItem]:
        """New inputs first, then known sources that a side table lacks."""
        new = [ScanItem(entry) for entry in self.new_entries()]
        return new + self._backfill_items() + self._changed_signals()

    def new_entries(self) -> list[Entry]:
        """Listed inputs without an outcome, or with one to retry."""
        rows = self.catalog.read("sources", Source, [*_ENTRY_COLUMNS, "reason"])
        if self.retry:
            is_retried = pc.is_in(rows["reason"], pa.array(sorted(self.retry), pa.string()))
            rows = rows.filter(pc.invert(is_retried))
        parts = (rows[name].cast(pa.string()) for name in _ENTRY_COLUMNS)
        done = pc.binary_join_element_wise(*parts, "|")
        keys = pa.array([entry.key for entry in self.entries], pa.string())
        is_new = pc.is_null(IdMatcher(keys).rows(done)).to_numpy(zero_copy_only=False)
        return [self.entries[n] for n in np.flatnonzero(is_new).tolist()]

    def retried(self, items: Sequence[ScanItem]) -> int:
        """Failed outcomes that are dropped because their inputs are on the work list again."""
        return len(self._retried_uris(items))

    def _retried_uris(self, items: Sequence[ScanItem]) -> list[str]:
        """One for each failure to retry; a file that was replaced may have several."""
        uris = [item.entry.uri for item in items if item.known_clips is None]
        if not (self.retry and uris):
            return []
        where = pc.field("reason").isin(sorted(self.retry)) & pc.field("uri").isin(uris)
        failed: list[str] = self.catalog.read("sources", Source, ["uri"], where)["uri"].to_pylist()
        return failed

    def check(self) -> None:
        """Raises `SettingsError` where the output was scanned with other settings."""
        digests = self.catalog.values("sources", Source, "scan_digest")
        if digests - {None, self.stage.digest}:
            raise SettingsError(
                f"{self.catalog.storage.root} was scanned with other settings for shots, clip "
                "length, frames or damage, or by an older version; scan with those, or "
                "into another output folder"
            )

    def _backfill_items(self) -> list[ScanItem]:
        """Known sources that a side table lacks, if their files are unchanged."""
        rows = self.catalog.read("sources", Source, ["source_id"], where=pc.field("clips") > 0)
        sources_with_clips = IdMatcher(pc.unique(rows["source_id"]))
        missing: dict[str, list[str]] = {}
        for name, record in self.stage.side_tables.items():
            if name in SIGNAL_TABLES:
                continue
            present = self.catalog.read(name, record, ["source_id"])["source_id"]
            found = sources_with_clips.rows(pc.unique(present))
            for source_id in sources_with_clips.ids.filter(pc.is_null(found)).to_pylist():
                missing.setdefault(source_id, []).append(name)
        if not missing:
            return []
        clips, sources = (
            self._clips_by_source(sorted(missing)),
            sources_by_id(self.catalog, missing),
        )
        items = []
        for source_id in sorted(missing):
            source, known = sources[source_id], tuple(clips[source_id])
            entry = entry_at(source.uri, source.extra or {})
            if (entry.size_bytes, entry.modified) != (source.size_bytes, source.modified):
                continue
            # Two sampling intervals surely hold an analysis frame, and so give a thumbnail.
            least_s = 2 / self.stage.sampling.fps
            long = any(clip.end_s - clip.start_s >= least_s for clip in known)
            names = [name for name in missing[source_id] if name != THUMBNAILS or long]
            if names:
                items.append(ScanItem(entry, known, tuple(names), source))
        return items

    def _changed_signals(self) -> list[ScanItem]:
        """Known sources whose signals, or what is declared of them, have come, changed or gone."""
        if not self.stage.signals.read:
            return []
        keys: dict[str, str] = {}
        for entry in self.entries:
            with contextlib.suppress(SignalError):  # which its scan has said
                if (found := find_recording(entry, self.stage.signals)) is not None:
                    keys[entry.uri] = found[1]
        if not keys:
            return []
        columns = ["source_id", "place", "clip_id", "signals"]
        rows = self.catalog.read(RECORDINGS, ClipRecording, columns)
        blocks = self.catalog.read(SAMPLES, SignalBlock, ["clip_id", "signal", "block"])
        is_missing = pc.is_in(rows["clip_id"], one_chunk(missing_signals(rows, blocks)["clip_id"]))
        gone = pc.unique(rows["source_id"].filter(is_missing))
        rows = rows.filter(pc.invert(pc.is_in(rows["source_id"], gone)))
        pairs = rows.group_by(["source_id", "place"]).aggregate([])
        read = set(zip(pairs["source_id"].to_pylist(), pairs["place"].to_pylist(), strict=True))
        known = visible_sources(self.catalog, ["clips"]).filter(pc.field("clips") > 0)
        uris = zip(known["source_id"].to_pylist(), known["uri"].to_pylist(), strict=True)
        changed = [i for i, uri in uris if uri in keys and (i, keys[uri]) not in read]
        sources = sources_by_id(self.catalog, changed) if changed else {}
        clips = self._clips_by_source(sorted(changed)) if changed else {}
        entries = {entry.uri: entry for entry in self.entries}
        return [
            ScanItem(entries[source.uri], tuple(clips[source_id]), self._signal_tables, source)
            for source_id, source in sorted(sources.items())
            if entries[source.uri].key == f"{source.uri}|{source.size_bytes}|{source.modified}"
        ]

    @property
    def _signal_tables(self) -> tuple[str, ...]:
        """The tables that hang on signals."""
        score = table_name(SCORES["RecordingQuality"])
        return (*SIGNAL_TABLES, *([score] if score in self.stage.side_tables else []))

    def _clips_by_source(self, source_ids: list[str]) -> dict[str, list[Clip]]:
        rows = self.catalog.read("clips", Clip, where=pc.field("source_id").isin(source_ids))
        clips: dict[str, list[Clip]] = {source_id: [] for source_id in source_ids}
        for clip in records.from_table(Clip, rows.sort_by("start_frame")):
            clips[clip.source_id].append(clip)
        return clips

    def split(self, item: ScanItem) -> list[ScanItem]:
        """A source is one part."""
        return [item]

    def weight(self, item: ScanItem) -> int:
        """One source."""
        return 1

    def size(self, item: ScanItem) -> float:
        """Bytes: how long a source is shows when it is opened."""
        return float(max(item.entry.size_bytes, 1))

    def video_s(self, item: ScanItem, outcome: Done | Failed) -> float:
        """Seconds of the source; none where it failed."""
        return float(outcome.value.source.duration_s or 0) if isinstance(outcome, Done) else 0.0

    def finished(self) -> int:
        """Listed inputs with an outcome, without those to retry."""
        return len(self.entries) - len(self.new_entries())

    def ledger(self, writer: Writer, items: Sequence[ScanItem]) -> ScanLedger:
        """Drops failures to retry, and rows of sources that a run cut short did not complete."""
        is_retried = pc.field("reason").isin(sorted(self.retry))
        writer.drop("sources", "uri", set(self._retried_uris(items)), is_retried)
        again = {i.source.source_id or "" for i in items if i.source and RECORDINGS in i.tables}
        for name in self._signal_tables:
            writer.drop(name, "source_id", again)
        committed = scanned_ids(self.catalog)
        for name, record in self.tables.items():
            if name != self.result:
                ids = pc.unique(self.catalog.read(name, record, ["source_id"])["source_id"])
                partial = ids.filter(pc.invert(pc.is_in(ids, committed)))
                writer.drop(name, "source_id", set(partial.to_pylist()))
        return ScanLedger(self, writer, KnownSources(self.catalog, committed))


class ScanLedger:
    """Commits sources; of several sources with the same bytes, the clips of the first."""

    def __init__(self, step: ScanStep, writer: Writer, known: KnownSources) -> None:
        self._step = step
        self._writer = writer
        self._known = known

    def commit(self, results: Sequence[tuple[ScanItem, Done | Failed]]) -> Counter[str]:
        """See `Ledger`. A known source that cannot be backfilled keeps its outcome.

        It counts as `not_filled`, as does one whose bytes changed.
        """
        tables: dict[str, list[pa.Table]] = {name: [] for name in self._step.tables}
        sources: list[Source] = []
        counts: Counter[str] = Counter()
        pairs = [(item, _result(item, outcome)) for item, outcome in results]
        scanned = [r.source.source_id or "" for _, r in pairs if r.source.outcome == "scanned"]
        committed = self._known.find(scanned)
        for item, result in pairs:
            source = result.source
            if item.known_clips is None:
                counts[source.reason or "scanned"] += 1
                first = committed.get(source.source_id or "")
                accepted = source.outcome == "scanned" and first is None
                if accepted:
                    tables["clips"].append(result.clips)
                    committed[source.source_id or ""] = source
                elif source.outcome == "scanned" and first is not None:
                    source = dataclasses.replace(
                        source,
                        clips=first.clips,
                        clips_digest=first.clips_digest,
                        shots_by=first.shots_by,
                    )
                sources.append(source)
            else:
                same_bytes = source.source_id == item.known_clips[0].source_id
                accepted = source.reason is None and same_bytes
                counts["filled" if accepted else "not_filled"] += 1
            if accepted:
                for name, rows in result.side_rows.items():
                    tables[name].append(rows)
        tables["sources"].append(records.to_table(Source, sources))
        for name, parts in tables.items():
            if parts:
                self._writer.append(name, pa.concat_tables(parts))
        self._known.add(committed)
        return counts


def _result(item: ScanItem, outcome: Done | Failed) -> ScanResult:
    if isinstance(outcome, Done) and not item.entry.problem:
        result: ScanResult = outcome.value
        return result
    if isinstance(outcome, Failed) and not item.entry.problem:
        reason, detail = outcome.reason, outcome.detail
    else:
        reason, detail = "unreadable", item.entry.problem
    source = source_row(item.entry, "failed", reason=reason, detail=detail)
    return ScanResult(source, records.to_table(Clip, []), {}, {})
