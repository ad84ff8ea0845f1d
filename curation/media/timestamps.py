"""Repairs the timestamps of a source's frames so that they increase, recording by recording.

Timestamps are the presentation times of decoded frames. Where a container has them for some frames
only (program streams, AVI with B-frames), the decoder estimates the others.

A source is one recording, or several joined byte by byte, whose timestamps then fall back. Within
one, timestamps have to increase. If nearly all steps are equal and the frames fill the duration,
they are placed at that constant rate. Otherwise the longest increasing run of container timestamps
is kept (O(n log n), Schensted 1961); a single one that breaks it is moved to the nearest place
between its neighbours if that is at most a usual step away; others, and estimates that do not fit,
are spread evenly between those around them.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ticks = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_NEIGHBOURS = 5
"""Timestamps on either side of a fall that decide whether it is lasting."""
_CONSTANT_SHARE = 0.9
"""Share of equal steps from which frames come at a constant rate."""


@dataclass(frozen=True)
class RawTimestamps:
    """What the decoder says of times, one value a frame."""

    pts: Ticks
    """Presentation timestamps as the filters see them, in `time_base` units."""
    from_container: Flags
    """Which of them the container has; the others are the decoder's estimates."""
    time_base: Fraction
    """Seconds in a unit; 0 without timestamps."""


@dataclass(frozen=True)
class RepairedTimes:
    """Frames with increasing times, in ticks."""

    times: Floats
    """When each is shown."""
    step: float
    """The usual time from frame to frame."""
    last_duration: float
    """How long the last frame is shown."""
    exact: bool
    """Whether all times are the container's own."""


def repair_timestamps(
    raw: RawTimestamps, restarts: Sequence[int], max_ticks: float, end: int | None
) -> list[RepairedTimes]:
    """The times of each recording in a source, repaired.

    `restarts` are frames with which another one may start; `max_ticks` is how long a frame may be
    shown, and `end` when the last one ends, if that is known.
    """
    parts = _split(raw, restarts, max_ticks)
    return [*(_repair(*part, None) for part in parts[:-1]), _repair(*parts[-1], end)]


def _split(
    raw: RawTimestamps, restarts: Sequence[int], max_ticks: float
) -> list[tuple[Ticks, Flags]]:
    """Timestamps and their origin, split where another recording starts.

    That is where container timestamps fall back for good. Where one of `restarts` is near such a
    fall or a jump ahead, it is there, and timestamps between the two count as estimates.
    """
    pts, from_container = raw.pts.copy(), raw.from_container.copy()
    falls = _lasting_falls(raw)
    boundaries = set(falls)
    for fall in [*falls, *(np.flatnonzero(np.diff(pts) > max_ticks) + 1).tolist()]:
        near = [frame for frame in restarts if 0 < abs(frame - fall) <= _NEIGHBOURS]
        if near and 0 < near[0] < len(pts):
            start, end = sorted((fall, near[0]))
            pts[start:end] = pts[start - 1] if near[0] > fall else pts[end]
            from_container[start:end] = False
            boundaries = (boundaries - {fall}) | {near[0]}
    edges = [0, *sorted(boundaries), len(pts)]
    return [(pts[a:b], from_container[a:b]) for a, b in itertools.pairwise(edges) if b > a]


def _lasting_falls(raw: RawTimestamps) -> list[int]:
    """Frames at which container timestamps fall back for good."""
    frames = np.flatnonzero(raw.from_container)
    pts = raw.pts[frames]
    falls = []
    for index in (np.flatnonzero(np.diff(pts) <= 0) + 1).tolist():
        earlier = pts[max(0, index - _NEIGHBOURS) : index]
        later = pts[index : index + _NEIGHBOURS]
        enough = min(len(earlier), len(later)) > _NEIGHBOURS // 2
        if enough and np.median(later) <= np.median(earlier):
            falls.append(int(frames[index]))
    return falls


def _repair(pts: Ticks, from_container: Flags, end: int | None) -> RepairedTimes:
    """Increasing times, as close to the timestamps as possible."""
    increasing = len(pts) < 2 or bool(np.all(np.diff(pts) > 0))
    within = end is None or bool(from_container[-1]) or pts[-1] < end
    times = pts.astype(np.float64)
    if not (increasing and within):
        times = _spread(times, from_container, end)
    steps = np.diff(times)
    step = float(np.median(steps)) if len(steps) else 1.0
    if end is not None and end > times[-1] and (from_container[-1] or not within):
        last_duration = float(end - times[-1])
        step = step if len(steps) else last_duration
    else:
        estimated = increasing and not from_container[-1] and len(steps) > 1
        last_duration = float(steps[-2]) if estimated else step  # pulldown alternates
    exact = increasing and within and bool(from_container.all())
    return RepairedTimes(times, step, last_duration, exact)


def _spread(times: Floats, from_container: Flags, end: int | None) -> Floats:
    """The times, with those replaced that do not increase."""
    if (constant := _at_constant_rate(times)) is not None:
        return constant
    candidates = np.flatnonzero(from_container if from_container.any() else ~from_container)
    anchors = _longest_increasing(times, candidates)
    steps = np.diff(times[anchors]) / np.diff(anchors)
    step = float(np.median(steps)) if len(steps) else 1.0
    repaired = times.copy()
    edges = [-1, *anchors.tolist(), len(times)]
    for left, right in itertools.pairwise(edges):
        if right - left < 2:
            continue
        inner = np.arange(left + 1, right)
        low = times[left] if left >= 0 else times[right] - step * (right - left)
        high = times[right] if right < len(times) else low + step * (right - left)
        if right == len(times) and end is not None and end > low:
            high = end
        max_shift = step if from_container[inner].all() else 0.0
        repaired[inner] = _fit_between(times[inner], float(low), float(high), max_shift)
    return repaired


def _at_constant_rate(times: Floats) -> Floats | None:
    """Times at a constant rate, if most steps are equal and the frames fill the duration."""
    steps = np.diff(times)
    step = float(np.median(steps))
    equal_share = float(np.mean(np.abs(steps - step) <= min(1.0, step / 2)))
    duration = times[-1] - times[0]
    if equal_share < _CONSTANT_SHARE or step <= 0:
        return None
    if abs(duration - step * len(steps)) >= step / 2:
        return None
    return np.linspace(times[0], times[-1], len(times))


def _fit_between(times: Floats, low: float, high: float, max_shift: float) -> Floats:
    """The times if they increase between two others; else shifted (one), or spread evenly."""
    if np.all(np.diff([low, *times, high]) > 0):
        return times
    count = len(times)
    margin = (high - low) / (count + 1) / 16
    nearest = np.clip(times, low + margin, high - margin)
    if count == 1 and abs(float(nearest[0] - times[0])) <= max_shift:
        return nearest
    return low + (high - low) * np.arange(1, count + 1) / (count + 1)


def _longest_increasing(times: Floats, frames: npt.NDArray[np.intp]) -> Ticks:
    """The most of these frames whose times strictly increase."""
    tail_times: list[float] = []
    tails: list[int] = []
    previous = np.full(len(frames), -1)
    for index, time in enumerate(times[frames].tolist()):
        length = bisect_left(tail_times, time)
        previous[index] = tails[length - 1] if length else -1
        tail_times[length : length + 1] = [time]
        tails[length : length + 1] = [index]
    run = []
    index = tails[-1]
    while index >= 0:
        run.append(int(frames[index]))
        index = int(previous[index])
    return np.array(run[::-1], np.int64)
