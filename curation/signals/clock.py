"""When each frame of a source was shown on a recording's clock.

Signals keep their own stamps; frames are placed among them, once. Best are stamps of the frames
themselves, by the recorder: they hold whatever the clocks do. Without them a frame's time follows
from the container's: `start + elapsed · (1 + drift) + offset`, where `elapsed` counts from the
first frame, through gaps that the source's own seconds leave out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.media.timeline import Timeline
from curation.signals.resample import NO_TIME
from curation.signals.signal import SignalError, Stamps

NS = 1_000_000_000
MAX_OFFSET = 1e9
"""Seconds or millionths below which offsets and drifts have to be."""


@dataclass(frozen=True, eq=False, slots=True)
class Clock:
    """Places frames on a recording's clock."""

    start_ns: int = 0
    """The clock's time when the first frame was shown."""
    offset_s: float = 0.0
    """Added to each frame's time: how much later a picture is than the signals of its time."""
    drift_ppm: float = 0.0
    """By how many millionths the recording's clock runs faster than the container's."""
    counts_container_time: bool = False
    """Whether time 0 is that of the container, rather than the first frame."""
    counts_frames: bool = False
    """Whether signals are stamped with the numbers of frames, not with times."""
    frame_stamps: Stamps | None = None
    """The clock's time of each frame, by the recorder; `offset_s` is added."""
    anchors: Stamps | None = None
    """Pairs [n, 2] of a container's time in nanoseconds and the clock's; frames between two are
    interpolated, those outside have no time. `offset_s` is added."""

    def place(self, elapsed_ns: Stamps, begin_ns: int = 0) -> Stamps:
        """The time of m frames and of the last one's end, int64 [m + 1], `NO_TIME` without one.

        `elapsed_ns` [m + 1] counts from the first frame; `begin_ns` is the container's time there.
        """
        offset = round(self.offset_s * NS)
        if self.anchors is not None:
            return self._between_anchors(elapsed_ns, begin_ns, offset)
        if self.frame_stamps is None:
            counted = elapsed_ns + (begin_ns if self.counts_container_time else 0)
            drift = np.rint(counted * (self.drift_ppm * 1e-6)).astype(np.int64)
            placed = self.start_ns + counted + drift + offset
            return np.where(elapsed_ns == NO_TIME, NO_TIME, placed)
        placed = np.full(len(elapsed_ns), NO_TIME, np.int64)
        count = min(len(self.frame_stamps), len(elapsed_ns) - 1)
        placed[:count] = self.frame_stamps[:count]
        known = self.frame_stamps[self.frame_stamps != NO_TIME]
        step = int(np.median(np.diff(known))) if len(known) > 1 else 0
        if 0 < count == len(placed) - 1 and placed[count - 1] != NO_TIME:
            has_next = count < len(self.frame_stamps)
            placed[count] = self.frame_stamps[count] if has_next else placed[count - 1] + step
        return np.where(placed == NO_TIME, NO_TIME, placed + offset)

    def _between_anchors(self, elapsed_ns: Stamps, begin_ns: int, offset: int) -> Stamps:
        assert self.anchors is not None
        container, clock = self.anchors.T
        first = clock[0]
        # Differences, because float64 holds no Unix time to the nanosecond.
        shown = np.where(elapsed_ns == NO_TIME, NO_TIME, elapsed_ns + begin_ns - container[0])
        times = np.interp(shown, container - container[0], clock - first)
        placed = np.rint(times).astype(np.int64) + first + offset
        slack = int(np.median(np.diff(container))) if len(container) > 1 else 0
        is_inside = (shown >= -slack // 2) & (shown <= container[-1] - container[0] + slack)
        return np.where(is_inside & (elapsed_ns != NO_TIME), placed, NO_TIME)


def elapsed_ns(timeline: Timeline) -> Stamps:
    """When each frame starts and the last one ends, int64 nanoseconds from the first, [n + 1].

    By the container's clock, so that gaps count. `NO_TIME` in a segment whose times have restarted.
    """
    starts = timeline.starts_s.copy()
    begin_s = timeline.segments[0].container_start_s
    is_known = np.ones(len(starts), bool)
    ends = [segment.start_frame for segment in timeline.segments[1:]] + [len(starts)]
    previous_s = -np.inf
    for segment, end in zip(timeline.segments, ends, strict=True):
        part = slice(segment.start_frame, end)
        shift = segment.container_start_s - begin_s - segment.start_s
        starts[part] += shift
        if starts[segment.start_frame] < previous_s:
            is_known[part] = False
        else:
            previous_s = float(starts[end - 1])
    return np.where(is_known, np.rint(starts * NS).astype(np.int64), NO_TIME)


def drift_ppm(frame_ns: Stamps, elapsed: Stamps) -> float | None:
    """By how much stamps of frames gain on the container's times, in millionths; None if unknown.

    A line through both (least squares); at least 10 frames over a second.
    """
    is_known = (frame_ns != NO_TIME) & (elapsed != NO_TIME)
    stamps, times = frame_ns[is_known], elapsed[is_known]
    if len(times) < 10 or times[-1] - times[0] < NS:
        return None
    x = (times - times[0]).astype(np.float64)
    y = (stamps - stamps[0]).astype(np.float64) - x
    x -= x.mean()
    return round(float((x * (y - y.mean())).sum() / (x * x).sum() * 1e6), 3)


def check_offset(text: str, name: str) -> float:
    """A number of seconds or millionths that a list states; raises `SignalError`."""
    try:
        value = float(text)
    except ValueError as error:
        raise SignalError(f"the list states {name} {text!r}, which is no number") from error
    if not abs(value) < MAX_OFFSET:
        raise SignalError(f"the list states {name} {text!r}, which is out of range")
    return value
