"""When the frames of a clip are shown, in whole ticks, so that no time is rounded."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class FrameTimes:
    """When each frame of a clip is shown."""

    pts: tuple[int, ...]
    """Presentation time of each frame in ticks, strictly rising; where zero lies is the file's."""
    tick: Fraction
    """Seconds in a tick."""

    @classmethod
    def of(cls, pts: Sequence[int], tick: Fraction) -> FrameTimes | None:
        """The times, or None if they do not rise from frame to frame."""
        rising = all(a < b for a, b in itertools.pairwise(pts))
        return cls(tuple(pts), tick) if pts and rising and tick > 0 else None

    def since_start(self, frame: int) -> Fraction:
        """Seconds from the first frame to this one."""
        return (self.pts[frame] - self.pts[0]) * self.tick
