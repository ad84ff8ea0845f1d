"""The recording of one source in its scan: read first, placed once the frames' times are known."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from curation.listing import Entry
from curation.media.sandbox import Limits
from curation.media.timeline import Timeline
from curation.records import Clip
from curation.scan.shots import Shot
from curation.signals.blocks import (
    RECORDINGS,
    SAMPLES,
    ClipRecording,
    block_rows,
    clip_signals,
)
from curation.signals.clock import NS, Clock, drift_ppm, elapsed_ns
from curation.signals.read import (
    CAMERA,
    DRIFT,
    OFFSET,
    SESSION,
    SignalSettings,
    find_recording,
    read_signals,
    stated_number,
)
from curation.signals.recorded_clip import Deviations, RecordedClip, deviations
from curation.signals.recording import Episode, Recording
from curation.signals.resample import NO_TIME
from curation.signals.signal import Signal, SignalError, Stamps


@dataclass(frozen=True, eq=False)
class SourceRecording:
    """What was recorded with one source."""

    recording: Recording | None
    """None if it could not be used."""
    place: str | None
    """Where the signals are, with size and time, and what was declared; None if unknown."""
    problem: str | None = None
    """Why it could not be used."""

    @classmethod
    def read(cls, entry: Entry, settings: SignalSettings, limits: Limits) -> SourceRecording | None:
        """The recording of a listed source; None where there is none."""
        if not settings.read:
            return None
        try:
            found = find_recording(entry, settings)
        except SignalError as error:
            return cls(None, None, str(error))
        session, camera = entry.extra.get(SESSION, ""), entry.extra.get(CAMERA, "")
        if found is None:
            return None
        place, key = found
        try:
            if place is None:
                offset_s = stated_number(entry.extra, OFFSET, settings.offset_s)
                drift = stated_number(entry.extra, DRIFT, settings.drift_ppm)
                clock = Clock(offset_s=offset_s, drift_ppm=drift)
                recording = Recording((Episode((), clock),))
            else:
                recording = read_signals(place, entry.uri, entry.extra, settings, limits)
        except SignalError as error:
            return cls(None, key, str(error))
        named = tuple(
            dataclasses.replace(
                episode, session=session or episode.session, camera=camera or episode.camera
            )
            for episode in recording.episodes
        )
        return cls(dataclasses.replace(recording, episodes=named), key)

    @property
    def remarks(self) -> list[str]:
        """What is unusual about it, as phrases."""
        if self.problem is not None:
            return [f"its signals are left out: {self.problem}"]
        return list(self.recording.notes) if self.recording else []

    def shot_finder(self) -> EpisodeShots | None:
        """Finds the episodes as shots, if the recording has any; else None."""
        if self.recording is None or not self.recording.sets_shots:
            return None
        return EpisodeShots(self.recording)

    def placed(self, timeline: Timeline) -> PlacedRecording:
        """The recording with the time of each frame."""
        return PlacedRecording(self, timeline)


class EpisodeShots:
    """Takes episodes for shots, so that all cameras of a session are cut alike."""

    reads_frames = False
    backend = "episodes"

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def feed(self, frames: Any) -> None:
        """Is never fed."""

    def finish(self, timeline: Timeline) -> list[Shot]:
        """The episodes, and what lies between them."""
        spans = episode_spans(self._recording, timeline)
        edges = sorted({0, timeline.frames, *(edge for span in spans for edge in span)})
        return list(pairwise(edges))


def episode_spans(recording: Recording, timeline: Timeline) -> list[Shot]:
    """The frames of each episode, [first, end)."""
    begin_s = timeline.segments[0].container_start_s
    shown = elapsed_ns(timeline)[:-1] + round(begin_s * NS)
    half = round(0.5 * NS / max(timeline.average_fps, 1e-6))
    spans = []
    for episode in recording.episodes:
        start = 0
        if episode.start_s is not None:
            start = int(np.searchsorted(shown, round(episode.start_s * NS) - half))
        end = timeline.frames if episode.frames is None else start + episode.frames
        spans.append((min(start, timeline.frames), min(end, timeline.frames)))
    return spans


@dataclass(eq=False)
class PlacedRecording:
    """A source's recording on its timeline."""

    source: SourceRecording
    timeline: Timeline
    _spans: list[Shot] = field(init=False, default_factory=list)
    _clips: dict[str, RecordedClip] = field(init=False, default_factory=dict)
    _elapsed: Stamps = field(init=False)

    def __post_init__(self) -> None:
        self._elapsed = elapsed_ns(self.timeline)
        self._restarts = {segment.start_frame for segment in self.timeline.segments[1:]}
        if self.source.recording is not None:
            self._spans = episode_spans(self.source.recording, self.timeline)
        self._facts: dict[int, tuple[tuple[Signal, ...], Stamps, Mapping[str, Deviations]]] = {}

    def of(self, clip: Clip) -> RecordedClip:
        """The recording of one clip: of the episode in which it starts."""
        if clip.clip_id not in self._clips:
            self._clips[clip.clip_id] = self._of(clip)
        return self._clips[clip.clip_id]

    def _of(self, clip: Clip) -> RecordedClip:
        recording = self.source.recording
        if recording is None:
            return RecordedClip(problem=self.source.problem)
        numbers = [n for n, (a, b) in enumerate(self._spans) if a <= clip.start_frame < b]
        if not numbers:
            return RecordedClip()
        number = numbers[0]
        episode, (first, end) = recording.episodes[number], self._spans[number]
        try:
            signals, frame_ns, spread = self._placed(number, episode)
        except ValueError as error:
            return RecordedClip(problem=str(error))
        times = np.full(clip.end_frame - clip.start_frame + 1, NO_TIME, np.int64)
        inside = frame_ns[clip.start_frame - first : clip.end_frame - first + 1]
        times[: len(inside)] = inside
        last = min(clip.end_frame, end)
        if last in self._restarts or last < clip.end_frame:
            shown = last - clip.start_frame
            before = times[shown - 1]
            times[shown] = NO_TIME if before == NO_TIME else before + self._usual_ns(last - 1)
        drift = None
        if episode.clock.frame_stamps is not None or episode.clock.anchors is not None:
            drift = drift_ppm(frame_ns, self._elapsed[first : end + 1])
        return RecordedClip(episode, clip_signals(signals, times), spread, drift)

    def _placed(
        self, number: int, episode: Episode
    ) -> tuple[tuple[Signal, ...], Stamps, Mapping[str, Deviations]]:
        """An episode's signals, the times of its frames, and its deviations; once each."""
        if number not in self._facts:
            first, end = self._spans[number]
            elapsed = self._elapsed[first : end + 1]
            signals = episode.signals
            if episode.clock.counts_frames:
                signals = tuple(_stamped_by_frame(signal, elapsed) for signal in signals)
            begin_ns = round(self.timeline.segments[0].container_start_s * NS)
            frame_ns = episode.clock.place(elapsed, begin_ns)
            if episode.clock.frame_stamps is not None and episode.frames is not None:
                count = episode.frames
                frame_ns = np.append(frame_ns, np.full(max(0, count - len(frame_ns)), NO_TIME))
            self._facts[number] = (signals, frame_ns, deviations(episode))
        return self._facts[number]

    def _usual_ns(self, frame: int) -> int:
        return round(float(np.diff(self.timeline.starts_s)[frame]) * NS)

    def rows(self, clip: Clip) -> dict[str, list[Any]]:
        """The clip's rows in the tables of signals."""
        recorded = self.of(clip)
        ids = (clip.clip_id, clip.source_id)
        episode, content = recorded.episode, recorded.content
        row = ClipRecording(
            *ids,
            session=None if episode is None else episode.session or None,
            camera=None if episode is None else episode.camera or None,
            episode=None if episode is None else episode.name or None,
            task=None if episode is None else episode.task or None,
            frame_ns=None if content is None else content.frame_ns.astype("<i8").tobytes(),
            signals=json.dumps([] if content is None else content.names),
            place=self.source.place,
            problem=recorded.problem,
        )
        blocks = [] if content is None else list(block_rows(*ids, content))
        return {RECORDINGS: [row], SAMPLES: blocks}


def _stamped_by_frame(signal: Signal, elapsed: Stamps) -> Signal:
    """A signal whose stamps are numbers of frames, with their times; those beyond are left out."""
    is_there = (signal.stamps >= 0) & (signal.stamps < len(elapsed) - 1)
    is_there[is_there] = elapsed[signal.stamps[is_there]] != NO_TIME
    stamps = elapsed[signal.stamps[is_there]]
    if not len(stamps):
        raise SignalError(f"{signal.name}: the video has none of its frames")
    return Signal(
        signal.name, signal.kind, stamps, signal.values[is_there], signal.channels, signal.units,
        signal.frame, None if signal.received is None else signal.received[is_there],
    )  # fmt: skip
