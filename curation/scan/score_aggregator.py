"""Measures frames and audio as they are decoded, and aggregates the numbers into clips' rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from curation import scores
from curation.media.audio import LOUDNESS_RATE, Samples, SourceLoudness
from curation.media.timeline import Timeline
from curation.records import Clip
from curation.scan.clips import analysis_slice
from curation.scan.recorded import PlacedRecording
from curation.scores import (
    AnalysisFrame,
    ClipScore,
    FrameScore,
    Score,
    SignalScore,
    SoundScore,
)
from curation.scores.base import Float64Array, FrameStream, Row, spread

ReadFrame = Callable[[int], npt.NDArray[np.uint8]]
"""Reads an analysis frame by its index among them, RGB [height, width, 3]."""


class ScoreAggregator:
    """Numbers of one source's frames and sound, and the rows of its clips."""

    def __init__(self, measured: Sequence[Score]) -> None:
        self._scores = tuple(measured)
        self._by_stream: dict[FrameStream, list[FrameScore]] = {
            "analysis": [], "lowres": [], "columns": [],
        }  # fmt: skip
        self._measures: dict[FrameScore, list[tuple[float, ...]]] = {}
        self._audio_measures: dict[SoundScore, list[Float64Array]] = {}
        for score in measured:
            if isinstance(score, FrameScore):
                self._by_stream[score.stream].append(score)
                self._measures[score] = []
            elif isinstance(score, SoundScore):
                self._audio_measures[score] = []
        self._previous: dict[FrameStream, AnalysisFrame | None] = dict.fromkeys(self._by_stream)
        self.loudness: SourceLoudness | None = None
        """Loudness of the source, set after its sound was decoded; None without sound."""
        self.recorded: PlacedRecording | None = None
        """What was recorded with the source, set once its frames have times; None if nothing."""

    def needs(self, stream: FrameStream) -> bool:
        """Whether some score measures this stream."""
        return bool(self._by_stream[stream])

    @property
    def needs_clip_frames(self) -> bool:
        """Whether some score describes a few frames of each clip."""
        return any(isinstance(score, ClipScore) for score in self._scores)

    @property
    def needs_audio(self) -> bool:
        """Whether some score measures the sound."""
        return bool(self._audio_measures)

    def measure(self, stream: FrameStream, frame: AnalysisFrame) -> None:
        """Measures the next frame of a stream."""
        for score in self._by_stream[stream]:
            self._measures[score].append(score.measure(frame, self._previous[stream]))
        self._previous[stream] = frame

    def measure_audio(self, samples: Samples) -> None:
        """Measures the next piece of sound."""
        for score, measures in self._audio_measures.items():
            measures.append(score.measure(samples))

    def rows(self, clip: Clip, timeline: Timeline | None, read_frame: ReadFrame) -> dict[str, Any]:
        """The clip's row for each score's table; scores of sound need no timeline."""
        rows = {}
        for score in self._scores:
            values: Row | None = None
            if isinstance(score, SoundScore):
                values = self._summarise_audio(score, clip)
            elif isinstance(score, SignalScore):
                values = None if self.recorded is None else score.summarise(self.recorded.of(clip))
            elif timeline is None:
                raise ValueError(f"{score.group} needs the timeline of the frames")
            elif isinstance(score, FrameScore):
                values = self._summarise_frames(score, clip, timeline)
            elif isinstance(score, ClipScore):
                values = _describe(score, clip, timeline, read_frame)
            if values is None:
                values = {f.name: None for f in scores.columns(type(score))}
            row = score.record(clip_id=clip.clip_id, source_id=clip.source_id, **values)
            rows[scores.table_name(score)] = row
        return rows

    def _summarise_audio(self, score: SoundScore, clip: Clip) -> Row | None:
        if self.loudness is None or not self._audio_measures[score]:
            return None
        measures = np.concatenate(self._audio_measures[score])[_steps(clip, 1 / score.step_s)]
        tenths = _steps(clip, LOUDNESS_RATE)
        # A value covers the 0.4 s up to its tenth: the first three reach outside the clip.
        start = tenths.start + 3
        momentary = self.loudness.momentary_lufs[start : max(tenths.stop, start)]
        return score.summarise(measures, momentary) if len(measures) else None

    def _summarise_frames(self, score: FrameScore, clip: Clip, timeline: Timeline) -> Row | None:
        """None if no frame of the stream lies in the clip."""
        if score.stream == "lowres":
            frames, times_s = slice(clip.start_frame, clip.end_frame), timeline.starts_s[:-1]
        else:
            frames = analysis_slice(clip, timeline)
            times_s = timeline.starts_s[timeline.analysis_indices]
        measures = np.array(self._measures[score][frames], np.float64)
        if not len(measures):
            return None
        return score.summarise(without_cross_shot_comparison(score, measures), times_s[frames])


def _steps(clip: Clip, steps_per_s: float) -> slice:
    """The steps that lie entirely in the clip, with a tolerance of a thousandth of one."""
    first, last = clip.start_s * steps_per_s, clip.end_s * steps_per_s
    return slice(math.ceil(first - 1e-3), max(0, math.floor(last + 1e-3)))


def _describe(
    score: ClipScore, clip: Clip, timeline: Timeline, read_frame: ReadFrame
) -> Row | None:
    """The score's fields from frames in the middle of equal parts of the clip; None without any."""
    inside = analysis_slice(clip, timeline)
    indices = [inside.start + at for at in spread(inside.stop - inside.start, score.num_frames)]
    if not indices:
        return None
    frames = [AnalysisFrame.from_rgb(read_frame(index)) for index in indices]
    return score.describe(frames, timeline.starts_s[timeline.analysis_indices[indices]])


def without_cross_shot_comparison(score: FrameScore, measures: Float64Array) -> Float64Array:
    """A clip's numbers [n, k], NaN where its first frame was compared with another shot's."""
    if not score.compares_frames:
        return measures
    measures = measures.copy()
    measures[0] = np.nan
    return measures
