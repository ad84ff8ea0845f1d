"""Scan: one pass over a source gives its shots, clips, scores, thumbnails and embeddings.

A second pass decodes the sound, where there is some and a score needs it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pyarrow as pa

from curation import records, scores
from curation.embed.base import Embedder, EmbeddingCollector
from curation.embed.descriptor import FrameDct
from curation.embed.things import Things
from curation.errors import MediaError, UnavailableError
from curation.listing import Entry
from curation.media import sandbox
from curation.media.audio import audio_matches_segments, decode_audio
from curation.media.decode import AnalysisSampling, decode_streams
from curation.media.probe import MediaInfo, check_readable, probe
from curation.media.salvage import SalvageResult, salvage
from curation.media.timeline import Timeline, TimelineSegment, segments_from_json
from curation.records import Clip, Source
from curation.scan.clips import make_clip
from curation.scan.collector import ScanCollector, side_tables
from curation.scan.cpu_timer import CpuTimer
from curation.scan.recorded import SourceRecording
from curation.scan.shots import ShotDetector, ShotFinder, TransNetV2, split_into_windows
from curation.scan.sources import container_columns, source_remarks, source_row, timeline_columns
from curation.scores import Score
from curation.signals.blocks import SIGNAL_TABLES
from curation.signals.read import SignalSettings
from curation.stage import Resources
from curation.storage import Storage, file_sha256


@dataclass(frozen=True)
class ScanItem:
    """One source to scan; with `known_clips` only `tables` are backfilled."""

    entry: Entry
    known_clips: tuple[Clip, ...] | None = None
    tables: tuple[str, ...] = ()
    source: Source | None = None
    """The row of a source whose clips are known."""

    @property
    def key(self) -> str:
        """The listing key."""
        return self.entry.key


@dataclass(frozen=True)
class ScanResult:
    """The row of one source, its clips, and rows for each side table."""

    source: Source
    clips: pa.Table
    side_rows: dict[str, pa.Table]
    cpu_seconds: dict[str, float]

    @property
    def nbytes(self) -> int:
        """Bytes in memory of the rows."""
        return int(self.clips.nbytes + sum(rows.nbytes for rows in self.side_rows.values()))


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
    embedders: tuple[Embedder, ...] = (FrameDct(), Things())
    """What clips are embedded by, beside the signatures that duplicates are found by."""
    sampling: AnalysisSampling = field(default_factory=AnalysisSampling)
    """Which frames are analysed."""
    stream: int | None = None
    """Index of the video stream to take where a list does not say; None for the container's choice:
    its default, then the largest."""
    damage: Literal["refuse", "salvage"] = "refuse"
    """`refuse` fails a source that is damaged anywhere; `salvage` takes what lies before the first
    damage, and says so."""
    signals: SignalSettings = field(default_factory=SignalSettings)
    """How what was recorded beside a video is read."""
    limits: sandbox.Limits = field(default_factory=sandbox.Limits)
    """What the decoder may use."""
    version: ClassVar[int] = 2

    @property
    def resources(self) -> Resources:
        """One core; a share of a GPU where the detector or an embedder runs on one."""
        detector = 0.1 if getattr(self.shots, "device", "cpu").startswith("cuda") else 0.0
        gpus = detector + sum(embedder.gpus for embedder in self.embedders)
        return Resources(cpus=1.0, gpus=gpus, memory_mb=1500)

    @property
    def side_tables(self) -> dict[str, type[Any]]:
        """The side tables that scan fills, and their records."""
        return side_tables(self.scores, self.embedders)

    @property
    def digest(self) -> str:
        """Digest of all settings that decide a source's clips; the same on every machine."""
        shots = dataclasses.asdict(self.shots)  # type: ignore[call-overload]
        backend = {"device", "precision"}
        settings = {
            "version": self.version,
            "shots": [type(self.shots).__name__, {k: shots[k] for k in shots.keys() - backend}],
            "max_clip_s": self.max_clip_s,
            "sampling": dataclasses.asdict(self.sampling),
            "stream": self.stream,
            "damage": self.damage,
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    def setup(self) -> Callable[[ScanItem], ScanResult]:
        """Loads the shot detector, the embedders and the models of scores."""
        for score in self.scores:
            score.load()
        embedders = {embedder: embedder.load() for embedder in self.embedders}
        return functools.partial(_scan, self, _Models(self.shots.load(), embedders))


@dataclass(frozen=True)
class _Models:
    """What is loaded once in each worker."""

    shot_finder: Callable[[], ShotFinder]
    embedders: Mapping[Embedder, Callable[[], EmbeddingCollector]]


def _scan(stage: Scan, models: _Models, item: ScanItem) -> ScanResult:
    """A bad source has a result too: a row with the reason."""
    columns: dict[str, Any] = {}
    try:
        with _local_path(item.entry) as path:
            columns["source_id"] = file_sha256(path)
            info = probe(path, stage.limits, _stream_index(stage, item))
            columns.update(container_columns(info))
            scan_pass = _ScanPass(stage, models, item, path, info, columns)
            try:
                return scan_pass.run(
                    SalvageResult.from_end_packet(item.source.end_packet if item.source else None)
                )
            except MediaError as error:
                if stage.damage == "refuse" or error.reason not in ("corrupt", "truncated"):
                    raise
                return scan_pass.run(salvage(path, info, stage.limits, error))
    except MediaError as error:
        source = source_row(
            item.entry, "failed", reason=error.reason, detail=error.detail, **columns
        )
        return ScanResult(source, records.to_table(Clip, []), {}, {})


def _stream_index(stage: Scan, item: ScanItem) -> int | None:
    """The stream of the source's row, else of the list, else of the setting."""
    if item.source is not None:
        return item.source.stream_index
    listed = item.entry.extra.get("stream", "")
    if listed and not listed.isdecimal():
        raise MediaError("no_video_stream", f"the list asks for stream {listed!r}, no number")
    return int(listed) if listed else stage.stream


@dataclass(frozen=True)
class _ScanPass:
    """The decode of one source."""

    stage: Scan
    models: _Models
    item: ScanItem
    path: str
    info: MediaInfo
    columns: Mapping[str, Any]
    """The columns of the source's row that are known already."""

    def run(self, salvaged: SalvageResult | None) -> ScanResult:
        """Decodes the source, or what was salvaged of it."""
        stage, item, info, timer = self.stage, self.item, self.info, CpuTimer()
        recording = self._recording()
        given_shots = None if recording is None else recording.shot_finder()
        shot_finder: ShotFinder | None = None
        if item.known_clips is None:
            shot_finder = given_shots or self.models.shot_finder()
        with contextlib.closing(self._collector(shot_finder, timer)) as collector:
            timeline, clips = None, item.known_clips or ()
            if collector.needs_frames or (recording is not None and collector.needs_signals):
                timeline = decode_streams(
                    self.path, info, stage.sampling, stage.limits,
                    on_lowres=collector.on_lowres if collector.needs_lowres else None,
                    on_analysis=collector.on_analysis if collector.needs_analysis else None,
                    on_columns=collector.on_columns if collector.needs_columns else None,
                    max_frame_s=stage.max_clip_s, salvaged=salvaged,
                )  # fmt: skip
                collector.finish_frames()
            if shot_finder is not None and timeline is not None:
                with timer.part("shots"):
                    clips = self._clips(shot_finder, timeline)
            audio_codec = info.audio_codec if self._audio_matches(timeline) else None
            if collector.needs_audio and audio_codec is not None:
                segments = self._segments(timeline)
                collector.set_loudness(
                    decode_audio(self.path, info, stage.limits, segments, collector.on_audio)
                )
            if recording is not None and timeline is not None:
                collector.set_recorded(recording.placed(timeline))
            side_rows = collector.side_rows(clips, timeline)
        columns = {**self.columns, "audio_codec": audio_codec}
        if timeline is not None and item.known_clips is None:
            audio_dropped = audio_codec != info.audio_codec
            columns |= timeline_columns(timeline, clips) | {
                "shots_by": stage.shots.backend if given_shots is None else given_shots.backend,
                "scan_digest": stage.digest,
                "remarks": source_remarks(
                    info,
                    timeline,
                    salvaged,
                    audio_dropped=audio_dropped,
                    recording=[] if recording is None else recording.remarks,
                ),
                "end_packet": None if salvaged is None else salvaged.end_packet,
            }
        source = source_row(item.entry, "scanned", **columns)
        return ScanResult(source, records.to_table(Clip, clips), side_rows, timer.seconds())

    def _recording(self) -> SourceRecording | None:
        """What was recorded with the source; None where nothing was, or it is not asked for."""
        if self.item.tables and not set(SIGNAL_TABLES) & set(self.item.tables):
            return None
        return SourceRecording.read(self.item.entry, self.stage.signals, self.stage.limits)

    def _collector(self, shot_finder: ShotFinder | None, timer: CpuTimer) -> ScanCollector:
        tables = self.item.tables or tuple(self.stage.side_tables)
        return ScanCollector(
            self.stage.scores, self.models.embedders, tables, shot_finder=shot_finder, timer=timer
        )

    def _clips(self, shot_finder: ShotFinder, timeline: Timeline) -> tuple[Clip, ...]:
        source_id, stream = self.columns["source_id"], self.info.stream_index
        return tuple(
            make_clip(span, part, timeline, source_id, stream)
            for shot in shot_finder.finish(timeline)
            for part in timeline.split_at_segments(*shot)
            for span in split_into_windows(part, timeline, self.stage.max_clip_s, equal=True)
        )

    def _audio_matches(self, timeline: Timeline | None) -> bool:
        """Whether the sound can be aligned with the pictures."""
        if timeline is not None:
            return audio_matches_segments(timeline.segments, self.info.audio_restarts)
        return self.item.source is None or self.item.source.audio_codec is not None

    def _segments(self, timeline: Timeline | None) -> tuple[TimelineSegment, ...]:
        """When the container shows the source's frames."""
        if timeline is not None:
            return timeline.segments
        source = self.item.source
        if source is None:
            return segments_from_json(None, None)
        return segments_from_json(source.segments, source.begin_s)


@contextlib.contextmanager
def _local_path(entry: Entry) -> Iterator[str]:
    with contextlib.ExitStack() as stack:
        try:
            path = stack.enter_context(Storage.at(entry.uri).local_path())
            check_readable(path)
        except (FileNotFoundError, MediaError) as error:
            if entry.size_bytes and (isinstance(error, OSError) or error.reason == "missing"):
                raise UnavailableError(f"{entry.uri} was listed and no longer exists") from error
            if isinstance(error, OSError):
                raise MediaError("missing", "no such object") from error
            raise
        yield path
