"""When each frame of a source is shown, in seconds from the first.

A frame is shown at its timestamp, repaired where needed (`timestamps`). A source without container
timestamps is shown at the rate of its header, unless that contradicts the container's duration.

A new segment starts where another recording starts, or where no frame comes for longer than
`max_frame_s`. The frame before it gets the usual duration, time continues from there, and no clip
spans the boundary.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt

from curation.media.timestamps import Floats, RawTimestamps, RepairedTimes, repair_timestamps

TimestampQuality = Literal["exact", "repaired", "none"]

_MAX_RATE_ERROR = 0.05
"""Share by which frames at the header's rate may miss the duration."""


@dataclass(frozen=True)
class FrameTimes:
    """When each frame of a clip is shown, in whole ticks, so that nothing is rounded."""

    pts: tuple[int, ...]
    """Presentation timestamps in ticks, strictly increasing; the origin is the file's."""
    tick: Fraction
    """Seconds in a tick."""

    @classmethod
    def from_pts(cls, pts: Sequence[int], tick: Fraction) -> FrameTimes | None:
        """The times, or None if they do not increase from frame to frame."""
        increasing = all(a < b for a, b in itertools.pairwise(pts))
        return cls(tuple(pts), tick) if pts and increasing and tick > 0 else None

    def since_start(self, frame: int) -> Fraction:
        """Seconds from the first frame to this one."""
        return (self.pts[frame] - self.pts[0]) * self.tick


@dataclass(frozen=True, slots=True)
class TimelineSegment:
    """Frames whose container timestamps are continuous."""

    start_frame: int
    """Index of the first one."""
    container_start_s: float
    """Its time in the container, in seconds."""
    start_s: float
    """Its time in seconds from the source's first frame."""


def segments_to_json(segments: tuple[TimelineSegment, ...]) -> str:
    """Segments as they are stored with a source."""
    return json.dumps([[s.start_frame, s.container_start_s, s.start_s] for s in segments])


def segments_from_json(
    text: str | None, container_start_s: float | None
) -> tuple[TimelineSegment, ...]:
    """Stored segments; of None a single one that starts at `container_start_s`."""
    if text is None:
        return (TimelineSegment(0, container_start_s or 0.0, 0.0),)
    return tuple(TimelineSegment(*row) for row in json.loads(text))


@dataclass(frozen=True)
class Timeline:
    """When each decoded frame is shown."""

    pts: npt.NDArray[np.int64] | None
    """Presentation timestamps in `time_base` units, as filters see them; None without any."""
    time_base: Fraction
    starts_s: Floats
    """Start of each frame in seconds from the first one, and the end of the last: n + 1 values."""
    analysis_indices: npt.NDArray[np.int64]
    """Frame index of each analysis frame."""
    variable_rate: bool
    """Whether frame durations differ by more than one tick."""
    timestamps: TimestampQuality = "exact"
    """`exact` if every frame is shown at its own timestamp, `repaired` if some are not, `none` if
    the container has none."""
    segments: tuple[TimelineSegment, ...] = (TimelineSegment(0, 0.0, 0.0),)
    """In order; more than one where timestamps restart or frames are missing for long."""
    gap_s: float = 0.0
    """Seconds without frames that are left out between segments."""

    @property
    def frames(self) -> int:
        """How many frames were decoded."""
        return len(self.starts_s) - 1

    @property
    def average_fps(self) -> float:
        """Frames a second; a long last frame counts as a usual one."""
        durations = np.diff(self.starts_s)
        usual = float(np.median(durations))
        last = float(durations[-1]) if durations[-1] <= 2 * usual else usual
        return self.frames / float(self.starts_s[-2] + last)

    def split_at_segments(self, start: int, end: int) -> list[tuple[int, int]]:
        """The frames from `start` to `end`, exclusive, cut where segments start."""
        inner = [s.start_frame for s in self.segments if start < s.start_frame < end]
        return list(itertools.pairwise([start, *inner, end]))

    def pts_bounds(self, start: int, end: int) -> tuple[int, int | None] | None:
        """The timestamps between which exactly these frames lie; None if none separate them."""
        if self.pts is None:
            return None
        first, last = int(self.pts[start]), int(self.pts[end]) if end < self.frames else None
        inside = self.pts >= first
        if last is not None:
            inside &= self.pts < last
        return (first, last) if np.array_equal(np.flatnonzero(inside), range(start, end)) else None


def build_timeline(
    raw: RawTimestamps,
    analysis_indices: npt.NDArray[np.int64],
    *,
    end_pts: int | None,
    max_frame_s: float,
    header_fps: float | None,
    duration_s: float | None,
    restarts: Sequence[int] = (),
) -> Timeline:
    """The timeline of a source.

    `end_pts` is when its last frame ends; it, `header_fps` and `duration_s` are what the container
    says, if it does. `restarts` are frames with which another recording starts: where timestamps
    fall back near one of them, the boundary is there, since the last frames of a recording may
    carry timestamps of the next.
    """
    if (pulldown := _pulldown_timeline(raw, analysis_indices)) is not None:
        return pulldown
    count = len(raw.pts)
    if raw.time_base <= 0 or raw.from_container.sum() < min(count, 2):
        fps = header_fps or 25.0
        if duration_s and count > 1 and abs(count / fps / duration_s - 1) > _MAX_RATE_ERROR:
            fps = count / duration_s
        starts_s = np.arange(count + 1) / fps
        return Timeline(None, raw.time_base, starts_s, analysis_indices, False, "none")
    tick_s = float(raw.time_base)
    max_ticks = max_frame_s / tick_s
    recordings = repair_timestamps(raw, restarts, max_ticks, end_pts)
    steps = np.concatenate([np.diff(recording.times) for recording in recordings])
    steps = steps[steps <= max_ticks]
    # Steps may differ by as much as rounding to ticks explains.
    varies = len(steps) > 0 and np.ptp(steps) > min(1.0, 0.5 * float(np.median(steps)))
    starts, boundaries, gap_ticks = _join(recordings, max_ticks)
    starts_s = starts * tick_s
    container_s = np.concatenate([part.times for part in recordings])[boundaries] * tick_s
    segments = map(TimelineSegment, boundaries, container_s.tolist(), starts_s[boundaries].tolist())
    return Timeline(
        pts=raw.pts,
        time_base=raw.time_base,
        starts_s=starts_s,
        analysis_indices=analysis_indices,
        variable_rate=bool(varies),
        timestamps="exact" if all(part.exact for part in recordings) else "repaired",
        segments=tuple(segments),
        gap_s=gap_ticks * tick_s,
    )


def _pulldown_timeline(
    raw: RawTimestamps, analysis_indices: npt.NDArray[np.int64]
) -> Timeline | None:
    """Frames that last two and three fields, as flagged in a stream without timestamps; or None."""
    steps = np.diff(raw.pts)
    if raw.time_base <= 0 or raw.from_container.any() or len(steps) < 3 or steps.min() <= 0:
        return None
    if np.unique(np.round(2 * steps / steps.min())).tolist() != [2, 3]:
        return None
    starts = (raw.pts - raw.pts[0]).astype(np.float64)
    last_duration = starts[-2] - starts[-3]
    starts_s = np.append(starts, starts[-1] + last_duration) * float(raw.time_base)
    return Timeline(None, raw.time_base, starts_s, analysis_indices, True, "repaired")


def _join(recordings: list[RepairedTimes], max_ticks: float) -> tuple[Floats, list[int], float]:
    """Frame starts and end in ticks from the first, first frames of segments, and gap ticks."""
    times = np.concatenate([recording.times for recording in recordings])
    restarts = np.cumsum([len(recording.times) for recording in recordings])[:-1]
    step = float(np.median([recording.step for recording in recordings]))
    durations = np.append(np.diff(times), recordings[-1].last_duration)
    gaps = np.flatnonzero(durations > max_ticks)
    gap_ticks = float(durations[gaps].sum() - step * len(gaps))
    durations[[*gaps.tolist(), *(restarts - 1).tolist()]] = step
    boundaries = {0, *restarts.tolist(), *(gaps[gaps < len(times) - 1] + 1).tolist()}
    return np.append(0.0, np.cumsum(durations)), sorted(boundaries), gap_ticks
