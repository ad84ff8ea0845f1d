"""Scan: one pass over a source gives its shots, clips, scores, thumbnails and embeddings.

A second pass decodes the sound, where there is some and a score hears it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

import pyarrow as pa

from curation import records, scores
from curation.embed.contract import Embedder, EmbeddingWatcher, table_name
from curation.embed.descriptor import FrameDct
from curation.listing import Entry
from curation.media import child
from curation.media.listen import listen
from curation.media.probe import Facts, check_readable, probe
from curation.media.watch import Frames, Sampling, Timeline, watch
from curation.reasons import MediaError, OutOfReachError
from curation.records import Clip, Source
from curation.scan.clips import clip_of
from curation.scan.clock import Clock
from curation.scan.shots import ShotDetector, ShotFinder, TransNetV2, windows
from curation.scan.sources import failed_source, filled, probed, scanned
from curation.scan.watcher import Watcher, side_tables
from curation.scores import Score
from curation.stage import Needs
from curation.storage import Storage, file_sha256


@dataclass(frozen=True)
class ScanItem:
    """One source to watch; `known` clips are kept as they are and only `tables` are filled."""

    entry: Entry
    known: tuple[Clip, ...] | None = None
    tables: tuple[str, ...] = ()

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
    limits: child.Limits = field(default_factory=child.Limits)
    """What the decoder may use."""
    version: ClassVar[int] = 1

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
    entry = item.entry
    clock = Clock()
    with _readable(entry) as path, contextlib.closing(_watcher(stage, models, item)) as watcher:
        known["source_id"] = source_id = file_sha256(path)
        facts = probe(path, stage.limits)
        known.update(probed(facts))
        finder = models.finder() if item.known is None else None
        timeline = None
        if finder is not None or watcher.watches:
            timeline = _pictures(stage, finder, watcher, path, facts, clock)
        clips = item.known or ()
        if finder is not None and timeline is not None:
            clips = clock.timed("shots", _clips)(stage, finder, timeline, source_id, facts)
        if watcher.listens:
            begin_s = _begin_s(timeline, clips)
            hear = clock.timed("sound", watcher.hear)
            watcher.heard(listen(path, facts, stage.limits, begin_s, hear))
        sides = clock.timed("scores", watcher.tables)(clips, timeline)
    if timeline is None or item.known is not None:
        source = filled(entry, known)
    else:
        known |= {"shots_by": stage.shots.backend, "scan_digest": stage.digest}
        source = scanned(entry, known, timeline, clips)
    return ScanResult(source, records.table(Clip, clips), sides, clock.seconds())


def _watcher(stage: Scan, models: _Models, item: ScanItem) -> Watcher:
    """What takes the source's frames and sound, for the tables that are to be filled."""
    wanted = item.tables or tuple(stage.side_tables)
    embedders = {e: make() for e, make in models.embedders.items() if table_name(e) in wanted}
    return Watcher(stage.scores, embedders, wanted)


def _pictures(  # noqa: PLR0917  all that a source is watched with
    stage: Scan, finder: ShotFinder | None, watcher: Watcher, path: str, facts: Facts, clock: Clock
) -> Timeline:
    """Shows the frames to whoever wants them."""
    find = clock.timed("shots", finder.feed if finder is not None else lambda frames: None)
    glance = clock.timed("scores", watcher.glance)

    def on_low(frames: Frames) -> None:
        find(frames)
        glance(frames)

    return watch(
        path,
        facts,
        stage.sampling,
        stage.limits,
        on_low=on_low,
        on_analysis=clock.timed("scores", watcher.see) if watcher.sees else None,
        on_lines=clock.timed("scores", watcher.read) if watcher.reads else None,
    )


def _begin_s(timeline: Timeline | None, clips: Sequence[Clip]) -> float:
    """When the container shows the source's first frame; 0 where frames have no times."""
    if timeline is not None:
        return 0.0 if timeline.pts is None else float(timeline.pts[0] * timeline.time_base)
    for clip in clips:
        if clip.start_pts is not None and clip.time_base is not None:
            return float(clip.start_pts * Fraction(clip.time_base)) - clip.start_s
    return 0.0


@contextlib.contextmanager
def _readable(entry: Entry) -> Iterator[str]:
    with contextlib.ExitStack() as stack:
        try:
            path = stack.enter_context(Storage.at(entry.uri).local())
            check_readable(path)
        except (FileNotFoundError, MediaError) as error:
            if entry.size_bytes and (isinstance(error, OSError) or error.reason == "missing"):
                raise OutOfReachError(f"{entry.uri} was listed and is gone") from error
            if isinstance(error, OSError):
                raise MediaError("missing", "no such object") from error
            raise
        yield path


def _clips(
    stage: Scan, finder: ShotFinder, timeline: Timeline, source_id: str, facts: Facts
) -> list[Clip]:
    clips = []
    for shot in finder.finish(timeline):
        for span in windows(shot, timeline, stage.max_clip_s, equal=True):
            clips.append(clip_of(span, shot, timeline, source_id, facts.stream_index))
    return clips
