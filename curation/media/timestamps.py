"""The stamps of a source's frames made to rise, recording by recording.

Stamps are the presentation times of decoded frames. Where a container stamps only some frames
(program streams, AVI with B-frames), the decoder guesses the others.

A source is one recording, or several joined byte by byte, whose times then fall back. Within one,
stamps have to rise. If nearly all steps are equal and the frames fill the whole, they come at that
constant rate. Else the longest rising run of real stamps is kept (O(n log n), Schensted 1961); one
stamp that breaks it is moved to the nearest place between its neighbours if that is no further than
a usual step; others, and guesses that do not fit, are spread evenly between those around them.
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

_AROUND = 5
"""Stamps on either side of a fall that say whether it is for good."""
_STEADY = 0.9
"""Share of steps of one length from which frames come at a constant rate."""


@dataclass(frozen=True)
class Stamps:
    """What decoding says of times, one value a frame."""

    pts: Ticks
    """Presentation times as the filters see them, in `time_base` units."""
    real: Flags
    """Which of them the container gave; the others are the decoder's estimates."""
    time_base: Fraction
    """Seconds in a unit; 0 without times."""


@dataclass(frozen=True)
class Recording:
    """Frames whose times follow one another, in ticks."""

    times: Floats
    """When each is shown; they rise."""
    step: float
    """The usual time from frame to frame."""
    last: float
    """How long the last frame lasts."""
    exact: bool
    """Whether all times are the container's own."""


def recordings(
    stamps: Stamps, restarts: Sequence[int], longest: float, end: int | None
) -> list[Recording]:
    """The recordings of a source.

    `restarts` are frames with which another one may begin; `longest` is how many ticks a frame may
    be shown, and `end` the tick at which the last one ends, if that is known.
    """
    parts = _divided(stamps, restarts, longest)
    found = [_repaired(*part, None) for part in parts[:-1]]
    return [*found, _repaired(*parts[-1], end)]


def _divided(stamps: Stamps, restarts: Sequence[int], longest: float) -> list[tuple[Ticks, Flags]]:
    """The stamps between places where another recording begins, and which of them are real.

    That is where real stamps fall back for good. Where one of `restarts` is near such a fall or a
    jump ahead, it is there, and stamps between the two count as guesses.
    """
    pts, real = stamps.pts.copy(), stamps.real.copy()
    falls = _falls(stamps)
    cuts = set(falls)
    for place in [*falls, *(np.flatnonzero(np.diff(pts) > longest) + 1).tolist()]:
        near = [frame for frame in restarts if 0 < abs(frame - place) <= _AROUND]
        if near and 0 < near[0] < len(pts):
            begin, end = sorted((place, near[0]))
            pts[begin:end] = pts[begin - 1] if near[0] > place else pts[end]
            real[begin:end] = False
            cuts = (cuts - {place}) | {near[0]}
    edges = [0, *sorted(cuts), len(pts)]
    return [(pts[a:b], real[a:b]) for a, b in itertools.pairwise(edges) if b > a]


def _falls(stamps: Stamps) -> list[int]:
    """Frames at which real stamps fall back for good."""
    numbers = np.flatnonzero(stamps.real)
    known = stamps.pts[numbers]
    found = []
    for at in (np.flatnonzero(np.diff(known) <= 0) + 1).tolist():
        before, after = known[max(0, at - _AROUND) : at], known[at : at + _AROUND]
        enough = min(len(before), len(after)) > _AROUND // 2
        if enough and np.median(after) <= np.median(before):
            found.append(int(numbers[at]))
    return found


def _repaired(pts: Ticks, real: Flags, end: int | None) -> Recording:
    """Times that rise, as near to the stamps as may be."""
    rising = len(pts) < 2 or bool(np.all(np.diff(pts) > 0))
    within = end is None or bool(real[-1]) or pts[-1] < end
    times = pts.astype(np.float64)
    if not (rising and within):
        times = _spread(times, real, end)
    steps = np.diff(times)
    step = float(np.median(steps)) if len(steps) else 1.0
    if end is not None and end > times[-1] and (real[-1] or not within):
        last = float(end - times[-1])
        step = step if len(steps) else last
    else:
        guessed = rising and not real[-1] and len(steps) > 1
        last = float(steps[-2]) if guessed else step  # pulldown takes turns
    return Recording(times, step, last, rising and within and bool(real.all()))


def _spread(times: Floats, real: Flags, end: int | None) -> Floats:
    """The times with those replaced that do not rise."""
    if (steady := _steady(times)) is not None:
        return steady
    kept = _longest_rise(times, np.flatnonzero(real if real.any() else ~real))
    anchors = np.diff(times[kept]) / np.diff(kept)
    step = float(np.median(anchors)) if len(anchors) else 1.0
    fixed = times.copy()
    edges = [-1, *kept.tolist(), len(times)]
    for left, right in itertools.pairwise(edges):
        if right - left < 2:
            continue
        inner = np.arange(left + 1, right)
        low = times[left] if left >= 0 else times[right] - step * (right - left)
        high = times[right] if right < len(times) else low + step * (right - left)
        if right == len(times) and end is not None and end > low:
            high = end
        stated = bool(real[inner].all())
        fixed[inner] = _between(times[inner], float(low), float(high), step if stated else 0.0)
    return fixed


def _steady(times: Floats) -> Floats | None:
    """Times at a constant rate, if most steps are of one length and the frames fill the whole."""
    steps = np.diff(times)
    step = float(np.median(steps))
    usual = float(np.mean(np.abs(steps - step) <= min(1.0, step / 2)))
    whole = times[-1] - times[0]
    if usual < _STEADY or step <= 0 or abs(whole - step * len(steps)) >= step / 2:
        return None
    return np.linspace(times[0], times[-1], len(times))


def _between(times: Floats, low: float, high: float, most: float) -> Floats:
    """These times if they rise between two others; else one moved by `most`, or spread evenly."""
    if np.all(np.diff([low, *times, high]) > 0):
        return times
    count = len(times)
    least = (high - low) / (count + 1) / 16
    nearest = np.clip(times, low + least, high - least)
    if count == 1 and abs(float(nearest[0] - times[0])) <= most:
        return nearest
    return low + (high - low) * np.arange(1, count + 1) / (count + 1)


def _longest_rise(times: Floats, numbers: npt.NDArray[np.intp]) -> Ticks:
    """Of these frames the most whose times rise strictly."""
    tails: list[float] = []
    ends: list[int] = []
    before = np.full(len(numbers), -1)
    for at, value in enumerate(times[numbers].tolist()):
        place = bisect_left(tails, value)
        before[at] = ends[place - 1] if place else -1
        tails[place : place + 1] = [value]
        ends[place : place + 1] = [at]
    chain = []
    at = ends[-1]
    while at >= 0:
        chain.append(int(numbers[at]))
        at = int(before[at])
    return np.array(chain[::-1], np.int64)
