"""When each frame of a source is shown, in seconds from its first.

Every frame is shown at its stamp, repaired where need be (`timestamps`). A source without real
stamps is shown at the rate of its header, unless that contradicts the container's duration.

Where another recording begins, or no frame comes for longer than `longest_s`, a new stretch begins.
The frame before it lasts a usual step, time goes on from there, and no clip spans the place.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt

from curation.media.segments import Stretch
from curation.media.timestamps import Floats, Recording, Stamps, recordings

Timestamps = Literal["exact", "repaired", "none"]

_CONTRADICTS = 0.05
"""Share by which frames at the header's rate may miss the duration."""


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

    @property
    def rate(self) -> float:
        """Frames a second on average; a last frame that stays on counts as a usual one."""
        lasts = np.diff(self.starts_s)
        usual = float(np.median(lasts))
        last = float(lasts[-1]) if lasts[-1] <= 2 * usual else usual
        return self.frames / float(self.starts_s[-2] + last)

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
    if stamps.time_base > 0 and not stamps.real.any() and _paced(stamps):
        return _guessed(stamps, analysed)
    if stamps.time_base <= 0 or stamps.real.sum() < min(count, 2):
        rate = _rate(count, header_fps, duration_s)
        return Timeline(
            None, stamps.time_base, np.arange(count + 1) / rate, analysed, False, "none"
        )
    longest = longest_s / float(stamps.time_base)
    parts = recordings(stamps, restarts, longest, end_pts)
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


def _paced(stamps: Stamps) -> bool:
    """Whether guesses say more than a constant rate: frames that are flagged to last longer."""
    steps = np.diff(stamps.pts)
    if len(steps) < 3 or steps.min() <= 0:
        return False
    return bool(np.unique(np.round(2 * steps / steps.min())).tolist() == [2, 3])


def _guessed(stamps: Stamps, analysed: npt.NDArray[np.int64]) -> Timeline:
    """Frames of two and three fields, as pulldown of a stream without stamps flags them."""
    starts = (stamps.pts - stamps.pts[0]).astype(np.float64)
    last = starts[-2] - starts[-3]
    starts_s = np.append(starts, starts[-1] + last) * float(stamps.time_base)
    return Timeline(None, stamps.time_base, starts_s, analysed, True, "repaired")


def _varies(steps: Floats) -> bool:
    """Whether steps differ by more than rounding to ticks explains."""
    return bool(len(steps)) and bool(np.ptp(steps) > min(1.0, 0.5 * float(np.median(steps))))


def _rate(count: int, header_fps: float | None, duration_s: float | None) -> float:
    """Frames a second of a source without stamps."""
    rate = header_fps or 25.0
    if duration_s and count > 1 and abs(count / rate / duration_s - 1) > _CONTRADICTS:
        return count / duration_s
    return rate


def _joined(parts: list[Recording], longest: float) -> tuple[Floats, list[int], float]:
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
