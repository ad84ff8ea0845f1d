"""Scan: one pass over a source gives its shots, clips, scores, thumbnails and embeddings.

A second pass decodes the sound, where there is some and a score hears it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pyarrow as pa

from curation import records, scores
from curation.embed.base import Embedder, EmbeddingWatcher, table_name
from curation.embed.descriptor import FrameDct
from curation.errors import MediaError, UnavailableError
from curation.listing import Entry
from curation.media import sandbox
from curation.media.audio import listen
from curation.media.decode import Frames, Sampling, watch
from curation.media.probe import Facts, check_readable, probe
from curation.media.salvage import Salvaged, salvage
from curation.media.segments import Stretch, sound_follows, stretches_of
from curation.media.timeline import Timeline
from curation.records import Clip, Source
from curation.scan.clips import clip_of
from curation.scan.collector import Watcher, side_tables
from curation.scan.cpu_timer import Clock
from curation.scan.shots import ShotDetector, ShotFinder, TransNetV2, windows
from curation.scan.sources import failed_source, filled, probed, remarks, scanned
from curation.scores import Score
from curation.stage import Needs
from curation.storage import Storage, file_sha256


@dataclass(frozen=True)
class ScanItem:
    """One source to watch; `known` clips are kept as they are and only `tables` are filled."""

    entry: Entry
    known: tuple[Clip, ...] | None = None
    tables: tuple[str, ...] = ()
    source: Source | None = None
    """The row of a source whose clips are known."""

    @property
    def key(self) -> str:
        """The listing key."""
        return self.entry.key


@dataclass(frozen=True)
class ScanResult:
    """What one source gave: its row, its clips, and rows for each side table."""

    source: Source
    clips: pa.Table
    sides: dict[str, pa.Table]
    cpu_seconds: dict[str, float]


@dataclass(frozen=True)
class Scan:
    """The scan stage."""

    shots: ShotDetector = field(default_factory=TransNetV2)
    """How shots are found."""
    max_clip_s: float = 20.0
    """A longer shot becomes equal windows of at most this many seconds."""
    scores: tuple[Score, ...] = field(
        default_factory=lambda: tuple(scores.SCORES[name]() for name in scores.DEFAULT_SCORES)
    )
    """What is measured."""
    embedders: tuple[Embedder, ...] = (FrameDct(),)
    """What clips are embedded by, beside the signatures that copies are found by."""
    sampling: Sampling = field(default_factory=Sampling)
    """Which frames are looked at."""
    stream: int | None = None
    """Index of the video stream to take where a list does not say; None for the container's choice:
    its default, then the largest."""
    damage: Literal["refuse", "salvage"] = "refuse"
    """`refuse` fails a source that is damaged anywhere; `salvage` keeps what lies before the first
    damage, and says so."""
    limits: sandbox.Limits = field(default_factory=sandbox.Limits)
    """What the decoder may use."""
    version: ClassVar[int] = 2

    @property
    def needs(self) -> Needs:
        """One core; a share of a GPU where the detector or an embedder runs on one."""
        detector = 0.1 if getattr(self.shots, "device", "cpu").startswith("cuda") else 0.0
        gpus = detector + sum(embedder.gpus for embedder in self.embedders)
        return Needs(cpus=1.0, gpus=gpus, memory_mb=1500)

    @property
    def side_tables(self) -> dict[str, type[Any]]:
        """The side tables that scan fills, and their records."""
        return side_tables(self.scores, self.embedders)

    @property
    def digest(self) -> str:
        """Names what decides a source's clips, whatever machine does it."""
        shots = dataclasses.asdict(self.shots)  # type: ignore[call-overload]
        backend = {"device", "precision"}
        decides = {
            "version": self.version,
            "shots": [type(self.shots).__name__, {k: shots[k] for k in shots.keys() - backend}],
            "max_clip_s": self.max_clip_s,
            "sampling": dataclasses.asdict(self.sampling),
            "stream": self.stream,
            "damage": self.damage,
        }
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]

    def setup(self) -> Callable[[ScanItem], ScanResult]:
        """Loads the shot detector, the embedders and what scores need."""
        for score in self.scores:
            score.load()
        models = _Models(self.shots.load(), {each: each.load() for each in self.embedders})
        return lambda item: _scan(self, models, item)


@dataclass(frozen=True)
class _Models:
    """What is loaded once in each worker."""

    finder: Callable[[], ShotFinder]
    embedders: Mapping[Embedder, Callable[[], EmbeddingWatcher]]


def _scan(stage: Scan, models: _Models, item: ScanItem) -> ScanResult:
    """A source that is bad still has a result: its row says why."""
    known: dict[str, Any] = {}
    try:
        return _watch(stage, models, item, known)
    except MediaError as error:
        source = failed_source(item.entry, error.reason, error.detail, **known)
        return ScanResult(source, records.table(Clip, []), {}, {})


def _watch(stage: Scan, models: _Models, item: ScanItem, known: dict[str, Any]) -> ScanResult:
    with _readable(item.entry) as path:
        known["source_id"] = file_sha256(path)
        facts = probe(path, stage.limits, _stream(stage, item))
        known.update(probed(facts))
        visit = _Visit(stage, models, item, path, facts)
        end_packet = item.source.end_packet if item.source is not None else None
        try:
            return visit.result(dict(known), Salvaged.until(end_packet))
        except MediaError as error:
            if stage.damage == "refuse" or error.reason not in ("corrupt", "truncated"):
                raise
            return visit.result(dict(known), salvage(path, facts, stage.limits, error))


def _stream(stage: Scan, item: ScanItem) -> int | None:
    """Index of the stream to watch: that of the source's row or list, or the setting's."""
    if item.source is not None:
        return item.source.stream_index
    listed = item.entry.extra.get("stream", "")
    if listed and not listed.isdecimal():
        raise MediaError("no_video_stream", f"the list asks for stream {listed!r}, no number")
    return int(listed) if listed else stage.stream


@dataclass(frozen=True)
class _Visit:
    """One source that was opened."""

    stage: Scan
    models: _Models
    item: ScanItem
    path: str
    facts: Facts

    def result(self, known: dict[str, Any], salvaged: Salvaged | None) -> ScanResult:
        """Watches it once, or what was salvaged of it."""
        stage, item, clock = self.stage, self.item, Clock()
        with contextlib.closing(_watcher(stage, self.models, item)) as watcher:
            finder = self.models.finder() if item.known is None else None
            timeline = None
            if finder is not None or watcher.watches:
                timeline = self._pictures(finder, watcher, clock, salvaged)
            clips = item.known or ()
            if finder is not None and timeline is not None:
                clips = clock.timed("shots", self._clips)(finder, timeline, known["source_id"])
            if not self._sound_follows(timeline):
                known["audio_codec"] = None
            if watcher.listens and known["audio_codec"] is not None:
                hear = clock.timed("sound", watcher.hear)
                stretches = _stretches(timeline, item)
                watcher.heard(listen(self.path, self.facts, stage.limits, stretches, hear))
            sides = clock.timed("scores", watcher.tables)(clips, timeline)
        if timeline is None or item.known is not None:
            source = filled(item.entry, known)
        else:
            known |= {"shots_by": stage.shots.backend, "scan_digest": stage.digest}
            lost = known["audio_codec"] != self.facts.audio_codec
            known["remarks"] = remarks(self.facts, timeline, salvaged, sound_lost=lost)
            known["end_packet"] = None if salvaged is None else salvaged.end_packet
            source = scanned(item.entry, known, timeline, clips)
        return ScanResult(source, records.table(Clip, clips), sides, clock.seconds())

    def _sound_follows(self, timeline: Timeline | None) -> bool:
        """Whether the sound can be placed beside the pictures."""
        if timeline is not None:
            return sound_follows(timeline.stretches, self.facts.sound_falls)
        return self.item.source is None or self.item.source.audio_codec is not None

    def _pictures(
        self, finder: ShotFinder | None, watcher: Watcher, clock: Clock, salvaged: Salvaged | None
    ) -> Timeline:
        """Shows the frames to whoever wants them."""
        find = clock.timed("shots", finder.feed if finder is not None else lambda frames: None)
        glance = clock.timed("scores", watcher.glance)

        def on_low(frames: Frames) -> None:
            find(frames)
            glance(frames)

        return watch(
            self.path,
            self.facts,
            self.stage.sampling,
            self.stage.limits,
            on_low=on_low,
            on_analysis=clock.timed("scores", watcher.see) if watcher.sees else None,
            on_lines=clock.timed("scores", watcher.read) if watcher.reads else None,
            longest_s=self.stage.max_clip_s,
            salvaged=salvaged,
        )

    def _clips(self, finder: ShotFinder, timeline: Timeline, source_id: str) -> list[Clip]:
        return [
            clip_of(span, part, timeline, source_id, self.facts.stream_index)
            for shot in finder.finish(timeline)
            for part in timeline.parts(*shot)
            for span in windows(part, timeline, self.stage.max_clip_s, equal=True)
        ]


def _stretches(timeline: Timeline | None, item: ScanItem) -> tuple[Stretch, ...]:
    """When the container shows the source's frames."""
    if timeline is not None:
        return timeline.stretches
    if item.source is None:
        return stretches_of(None, None)
    return stretches_of(item.source.stretches, item.source.begin_s)


def _watcher(stage: Scan, models: _Models, item: ScanItem) -> Watcher:
    """What takes the source's frames and sound, for the tables that are to be filled."""
    wanted = item.tables or tuple(stage.side_tables)
    embedders = {e: make() for e, make in models.embedders.items() if table_name(e) in wanted}
    return Watcher(stage.scores, embedders, wanted)


@contextlib.contextmanager
def _readable(entry: Entry) -> Iterator[str]:
    with contextlib.ExitStack() as stack:
        try:
            path = stack.enter_context(Storage.at(entry.uri).local())
            check_readable(path)
        except (FileNotFoundError, MediaError) as error:
            if entry.size_bytes and (isinstance(error, OSError) or error.reason == "missing"):
                raise UnavailableError(f"{entry.uri} was listed and is gone") from error
            if isinstance(error, OSError):
                raise MediaError("missing", "no such object") from error
            raise
        yield path
