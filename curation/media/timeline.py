"""When each frame of a source is shown, from the stamps that its container gives.

**Stamps** are the presentation times of decoded frames. Where a container stamps only some frames
(program streams, AVI with B-frames), the decoder fills in the others; those count as estimates.

**Repair.** Stamps have to rise. The longest rising run of real stamps is kept (O(n log n),
Schensted 1961); a stamp that breaks it is moved to the nearest place between its neighbours if that
is no further than one usual step, and otherwise spread evenly between them, as are estimates that
do not fit. A source without real stamps is shown at the rate of its header, unless that contradicts
the container's duration.

**Stretches.** Where times fall back for good, as in recordings joined byte by byte, or where no
frame comes for longer than `longest_s`, a new stretch begins. The frame before it lasts a usual
step, time goes on from there, and no clip spans the place.
"""

from __future__ import annotations

import itertools
import json
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Timestamps = Literal["exact", "repaired", "none"]

_AROUND = 5
"""Stamps on either side of a fall that say whether it is for good."""
_STEADY = 0.9
"""Share of steps of one length from which frames come at a constant rate."""
_CONTRADICTS = 0.05
"""Share by which frames at the header's rate may miss the duration."""
_MOST_STRETCHES = 200
_EARLY_S = 0.1
"""How long before its pictures the sound of a stretch may begin."""
_NOWHERE_S = -1e6


@dataclass(frozen=True, slots=True)
class Stretch:
    """Frames whose times in the container follow one another."""

    start_frame: int
    """The first one's number."""
    begin_s: float
    """Its time in the container, in seconds."""
    start_s: float
    """The same in seconds from the source's first frame."""


@dataclass(frozen=True)
class Stamps:
    """What decoding says of times, one value a frame."""

    pts: npt.NDArray[np.int64]
    """Presentation times as the filters see them, in `time_base` units."""
    real: npt.NDArray[np.bool_]
    """Which of them the container gave; the others are the decoder's estimates."""
    time_base: Fraction
    """Seconds in a unit; 0 without times."""


@dataclass(frozen=True)
class Timeline:
    """When each decoded frame is shown."""

    pts: npt.NDArray[np.int64] | None
    """Presentation times in `time_base` units, as filters see them; None if the stream has none."""
    time_base: Fraction
    starts_s: Floats
    """Start of each frame in seconds from the first one, and the end of the last: n + 1 values."""
    analysed: npt.NDArray[np.int64]
    """Frame number of each analysis frame."""
    variable_rate: bool
    """Whether the frame durations differ by more than one tick."""
    timestamps: Timestamps = "exact"
    """`exact` if every frame is shown at its own stamp, `repaired` if some are not, `none` if the
    container stamps no frame."""
    stretches: tuple[Stretch, ...] = (Stretch(0, 0.0, 0.0),)
    """In order; more than one where times restart or frames are missing for long."""
    gap_s: float = 0.0
    """Seconds without frames that are left out between stretches."""

    @property
    def frames(self) -> int:
        """How many frames were decoded."""
        return len(self.starts_s) - 1

    def parts(self, start: int, end: int) -> list[tuple[int, int]]:
        """The frames from `start` to `end`, exclusive, cut where stretches begin."""
        inner = [s.start_frame for s in self.stretches if start < s.start_frame < end]
        edges = [start, *inner, end]
        return list(itertools.pairwise(edges))

    def cut_pts(self, start: int, end: int) -> tuple[int, int | None] | None:
        """The stamps between which exactly these frames lie; None if no stamps tell them apart."""
        if self.pts is None:
            return None
        first, last = int(self.pts[start]), int(self.pts[end]) if end < self.frames else None
        inside = self.pts >= first
        if last is not None:
            inside &= self.pts < last
        found = np.flatnonzero(inside)
        exact = len(found) == end - start and found[0] == start and found[-1] == end - 1
        return (first, last) if exact else None


def timeline(
    stamps: Stamps,
    analysed: npt.NDArray[np.int64],
    *,
    end_pts: int | None,
    longest_s: float,
    header_fps: float | None,
    duration_s: float | None,
    restarts: Sequence[int] = (),
) -> Timeline:
    """The timeline of a source; `end_pts` is when its last frame ends, if the container says so.

    `header_fps` and `duration_s` are what the container's header says; both may be None. `restarts`
    are frames with which another recording begins: where stamps fall back near one of them, it is
    there, since the last frames of a recording may bear stamps of the next.
    """
    count = len(stamps.pts)
    if stamps.time_base <= 0 or stamps.real.sum() < min(count, 2):
        rate = _rate(count, header_fps, duration_s)
        return Timeline(
            None, stamps.time_base, np.arange(count + 1) / rate, analysed, False, "none"
        )
    longest = longest_s / float(stamps.time_base)
    recordings = _recordings(stamps, restarts, longest)
    parts = [_repaired(*each, None) for each in recordings[:-1]]
    parts.append(_repaired(*recordings[-1], end_pts))
    steps = np.concatenate([np.diff(part.times) for part in parts])
    steps = steps[steps <= longest]
    starts, cuts, gaps = _joined(parts, longest)
    starts_s = starts * float(stamps.time_base)
    begins_s = np.concatenate([part.times for part in parts])[cuts] * float(stamps.time_base)
    exact = all(part.exact for part in parts)
    return Timeline(
        pts=stamps.pts,
        time_base=stamps.time_base,
        starts_s=starts_s,
        analysed=analysed,
        variable_rate=_varies(steps),
        timestamps="exact" if exact else "repaired",
        stretches=tuple(map(Stretch, cuts, begins_s.tolist(), starts_s[cuts].tolist())),
        gap_s=gaps * float(stamps.time_base),
    )


def _varies(steps: Floats) -> bool:
    """Whether steps differ by more than rounding to ticks explains."""
    return bool(len(steps)) and bool(np.ptp(steps) > min(1.0, 0.5 * float(np.median(steps))))


def _rate(count: int, header_fps: float | None, duration_s: float | None) -> float:
    """Frames a second of a source without stamps."""
    rate = header_fps or 25.0
    if duration_s and count > 1 and abs(count / rate / duration_s - 1) > _CONTRADICTS:
        return count / duration_s
    return rate


def _recordings(
    stamps: Stamps, restarts: Sequence[int], longest: float
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]]:
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


@dataclass(frozen=True)
class _Part:
    """Frames between two restarts, in ticks."""

    times: Floats
    step: float
    """The usual time from frame to frame."""
    last: float
    """How long the last frame lasts."""
    exact: bool


def _repaired(pts: npt.NDArray[np.int64], real: npt.NDArray[np.bool_], end: int | None) -> _Part:
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
    return _Part(times, step, last, rising and within and bool(real.all()))


def _spread(times: Floats, real: npt.NDArray[np.bool_], end: int | None) -> Floats:
    """The times with those replaced that do not rise."""
    if (steady := _steady(times)) is not None:
        return steady
    kept = _longest_rise(times, np.flatnonzero(real))
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


def _longest_rise(times: Floats, numbers: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
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


def _joined(parts: list[_Part], longest: float) -> tuple[Floats, list[int], float]:
    """Starts and end in ticks from the first frame, where stretches begin, and ticks left out."""
    times = np.concatenate([part.times for part in parts])
    restarts = np.cumsum([len(part.times) for part in parts])[:-1]
    step = float(np.median([part.step for part in parts]))
    lasts = np.append(np.diff(times), parts[-1].last)
    gaps = np.flatnonzero(lasts > longest)
    left_out = float(lasts[gaps].sum() - step * len(gaps))
    lasts[[*gaps.tolist(), *(restarts - 1).tolist()]] = step
    cuts = {0, *restarts.tolist(), *(gaps[gaps < len(times) - 1] + 1).tolist()}
    return np.append(0.0, np.cumsum(lasts)), sorted(cuts), left_out


def stretches_text(stretches: tuple[Stretch, ...]) -> str:
    """Stretches as JSON, to be stored."""
    return json.dumps([[s.start_frame, s.begin_s, s.start_s] for s in stretches])


def stretches_of(text: str | None) -> tuple[Stretch, ...]:
    """Stretches from what `stretches_text` gave."""
    return tuple(Stretch(*each) for each in json.loads(text or "[[0, 0.0, 0.0]]"))


def sound_clock(stretches: tuple[Stretch, ...]) -> str | None:
    """When a piece of sound is heard, as an expression for ffmpeg's `asetpts`.

    It maps container times, in the order of the file, to those of the timeline. Sound within a gap
    gets a time far before the beginning. None for more stretches than an expression can hold.
    """
    if len(stretches) > _MOST_STRETCHES:
        return None
    now, moves, shifts, gaps = "ld(0)", [], [], []
    for at, stretch in enumerate(stretches):
        shifts.append(f"eq({now},{at})*{stretch.start_s - stretch.begin_s:.6f}")
        if at + 1 == len(stretches):
            break
        after = stretches[at + 1]
        end_s = stretch.begin_s + after.start_s - stretch.start_s
        jump_s = after.begin_s - end_s
        if jump_s > 0:
            moves.append(f"eq({now},{at})*gte(T,{after.begin_s - min(_EARLY_S, jump_s / 2):.6f})")
            gaps.append(f"eq({now},{at})*gt(T,{end_s:.6f})")
        else:
            moves.append(f"eq({now},{at})*lt(T-PREV_INT,{jump_s / 2:.6f})")
    heard = f"T+{'+'.join(shifts)}"
    if len(stretches) == 1:
        heard = f"T+{stretches[0].start_s - stretches[0].begin_s:.6f}"
        return f"({heard})/TB"
    moved = f"st(0,{now}+{'+'.join(moves)})"
    heard = f"if({'+'.join(gaps)},{_NOWHERE_S:.0f},{heard})" if gaps else heard
    return f"{moved};({heard})/TB"
