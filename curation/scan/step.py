"""The scan step: which sources are still to watch, and committing what they gave."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.catalog import Catalog, Writer
from curation.dataset import source_rows
from curation.errors import ReelmillError
from curation.listing import Entry, entry_at
from curation.records import Clip, Source
from curation.scan.collector import THUMBNAILS
from curation.scan.sources import failed_source
from curation.scan.stage import Scan, ScanItem, ScanResult
from curation.stage import Done, Failed


class SettingsError(ReelmillError, ValueError):
    """The output was made with other settings."""


_ENTRY = ["uri", "size_bytes", "modified"]


@dataclass(frozen=True)
class ScanStep:
    """Scans the listed inputs that have no outcome, and fills side tables that lack a source."""

    catalog: Catalog
    stage: Scan
    entries: Sequence[Entry]
    retry: frozenset[str] = frozenset()
    """Reasons of failure that get another chance."""
    name: str = "scan"
    result: str = "sources"

    def todo(self) -> list[ScanItem]:
        """New inputs first, then known sources for which a side table has nothing yet."""
        self.check()
        rows = self.catalog.read("sources", Source, [*_ENTRY, "reason"])
        columns = [rows[name].to_pylist() for name in (*_ENTRY, "reason")]
        seen = {row[:3] for row in zip(*columns, strict=True) if row[3] not in self.retry}
        new = [e for e in self.entries if (e.uri, e.size_bytes, e.modified) not in seen]
        return [ScanItem(entry) for entry in new] + self._unfilled()

    def failures_dropped(self) -> int:
        """Outcomes that go when the step takes the tables: those that get another chance."""
        again = self._given_another_chance()
        if not again:
            return 0
        where = (pc.field("outcome") == "failed") & pc.field("uri").isin(sorted(again))
        return len(self.catalog.read("sources", Source, ["uri"], where=where))

    def _given_another_chance(self) -> set[str]:
        """Listed inputs that failed for a reason to be tried again."""
        if not self.retry:
            return set()
        where = pc.field("reason").isin(sorted(self.retry))
        failed = self.catalog.read("sources", Source, ["uri"], where=where)["uri"].to_pylist()
        return set(failed) & {entry.uri for entry in self.entries}

    def check(self) -> None:
        """Raises `SettingsError`: one output holds sources cut into clips in one way."""
        used = self.catalog.values("sources", Source, "scan_digest") - {None}
        if used - {self.stage.digest}:
            raise SettingsError(
                f"{self.catalog.storage.root} was scanned with other settings for shots, clip "
                "length, frames or damage, or by an older version; scan with those, or "
                "into another output folder"
            )

    def _unfilled(self) -> list[ScanItem]:
        """Known sources that a side table lacks, if they lie where and as they did."""
        held = self.catalog.read("sources", Source, ["source_id"], where=pc.field("clips") > 0)
        ids = set(held["source_id"].to_pylist())
        lacking: dict[str, list[str]] = {}
        for name, record in self.stage.side_tables.items():
            for source_id in ids - self.catalog.values(name, record, "source_id"):
                lacking.setdefault(source_id, []).append(name)
        if not lacking:
            return []
        clips, sources = self._clips_of(sorted(lacking)), source_rows(self.catalog)
        items = []
        for source_id in sorted(lacking):
            source, known = sources[source_id], tuple(clips[source_id])
            entry = entry_at(source.uri, source.extra or {})
            if (entry.size_bytes, entry.modified) != (source.size_bytes, source.modified):
                continue
            names = [n for n in lacking[source_id] if n != THUMBNAILS or self._pictured(known)]
            if names:
                items.append(ScanItem(entry, known, tuple(names), source))
        return items

    def _pictured(self, clips: Sequence[Clip]) -> bool:
        """Whether an analysis frame surely lies in one of the clips, which gives a thumbnail."""
        return any(clip.end_s - clip.start_s >= 2 / self.stage.sampling.fps for clip in clips)

    def _clips_of(self, source_ids: list[str]) -> dict[str, list[Clip]]:
        rows = self.catalog.read("clips", Clip, where=pc.field("source_id").isin(source_ids))
        clips: dict[str, list[Clip]] = {source_id: [] for source_id in source_ids}
        for clip in records.records(Clip, rows.sort_by("start_frame")):
            clips[clip.source_id].append(clip)
        return clips

    def split(self, item: ScanItem) -> list[ScanItem]:
        """A source is one part."""
        return [item]

    def weight(self, item: ScanItem) -> int:
        """One source."""
        return 1

    @contextlib.contextmanager
    def ledger(self) -> Iterator[ScanLedger]:
        """Takes the tables; `sources` is written last and announces the rest."""
        filled: dict[str, type] = {"clips": Clip, **self.stage.side_tables}
        with self.catalog.writer(self.name, {**filled, "sources": Source}) as writer:
            if again := self._given_another_chance():
                writer.drop("sources", "uri", again, also="outcome = 'failed'")
            announced = source_rows(self.catalog)
            for name, record in filled.items():
                found = self.catalog.values(name, record, "source_id")
                writer.drop(name, "source_id", found - announced.keys())
            yield ScanLedger(self, writer, announced)


class ScanLedger:
    """Commits sources; of several copies of the same bytes, the clips of the first."""

    def __init__(self, step: ScanStep, writer: Writer, announced: dict[str, Source]) -> None:
        self._step = step
        self._writer = writer
        self._announced = announced

    def commit(self, results: Sequence[tuple[ScanItem, Done | Failed]]) -> Counter[str]:
        """See `Ledger`. A known source that could not be watched again keeps its old outcome.

        So does one whose bytes are others by now; both count as `not_filled`.
        """
        clips: list[pa.Table] = []
        sides: dict[str, list[pa.Table]] = {name: [] for name in self._step.stage.side_tables}
        sources: list[Source] = []
        counts: Counter[str] = Counter()
        for item, outcome in results:
            result = _result(item, outcome)
            source = result.source
            if item.known is None:
                counts[source.reason or "scanned"] += 1
                first = self._announced.get(source.source_id or "")
                good = source.outcome == "scanned" and first is None
                if good:
                    clips.append(result.clips)
                    self._announced[source.source_id or ""] = source
                elif source.outcome == "scanned" and first is not None:
                    source = _as_first(source, first)
                sources.append(source)
            else:
                good = source.reason is None and source.source_id == item.known[0].source_id
                counts["filled" if good else "not_filled"] += 1
            if good:
                for name, rows in result.sides.items():
                    sides[name].append(rows)
        if clips:
            self._writer.append("clips", pa.concat_tables(clips))
        for name, parts in sides.items():
            if parts:
                self._writer.append(name, pa.concat_tables(parts))
        self._writer.append("sources", records.table(Source, sources))
        return counts


def _as_first(source: Source, first: Source) -> Source:
    """The row of another copy of the same bytes: its clips are those of the first."""
    return dataclasses.replace(
        source, clips=first.clips, clips_digest=first.clips_digest, shots_by=first.shots_by
    )


def _result(item: ScanItem, outcome: Done | Failed) -> ScanResult:
    if isinstance(outcome, Done) and not item.entry.problem:
        result: ScanResult = outcome.value
        return result
    if isinstance(outcome, Failed) and not item.entry.problem:
        source = failed_source(item.entry, outcome.reason, outcome.detail)
    else:
        source = failed_source(item.entry, "unreadable", item.entry.problem)
    return ScanResult(source, records.table(Clip, []), {}, {})
