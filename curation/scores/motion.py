"""Motion: how much of the picture changes.

Luma is averaged over blocks of 8×8 pixels, so that noise and grain cancel, and compared with the
frame a quarter of a second earlier. A block moves when it changed by more than 2.5 levels of 255.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from curation.records import ClipRow
from curation.scores.base import (
    AnalysisFrame,
    Float64Array,
    FrameScore,
    Row,
    block_means,
    field,
    mean_or_none,
)

_BLOCK = 8
_MOVING_LEVELS = 2.5
_STILL_SHARE = 0.002


@dataclass(frozen=True, slots=True)
class MotionScores(ClipRow):
    """How much of one clip moves."""

    still_share: float | None = field(
        "How much of the time nothing moves.",
        high=("mostly_still", "Nothing moves for most of the clip."),
    )
    """Share of the quarter seconds in which nothing changes, 0–1."""
    longest_still_s: float | None = field(
        "How long nothing moves at a stretch.",
        high=("long_still", "Nothing moves for too long at a stretch."),
    )
    """Longest stretch without any change, in seconds."""
    motion: float | None = field(
        "How much of the picture moves.",
        low=("little_motion", "Too little of the picture moves."),
        high=("much_motion", "Too much of the picture moves."),
    )
    """Mean share of the picture that changes within a quarter of a second, 0–1."""


@dataclass(frozen=True)
class Motion(FrameScore):
    """Scores how much moves; cost about 0.2 ms a frame."""

    group: ClassVar[str] = "motion"
    record: ClassVar[type[MotionScores]] = MotionScores
    compares_frames: ClassVar[bool] = True

    def measure(self, frame: AnalysisFrame, previous: AnalysisFrame | None) -> tuple[float, ...]:
        """The share of blocks that changed since the previous frame."""
        if previous is None:
            return (float("nan"),)
        change = np.abs(block_means(frame.luma, _BLOCK) - block_means(previous.luma, _BLOCK))
        return (float((change > _MOVING_LEVELS).mean()),)

    def summarise(self, measures: Float64Array, times_s: Float64Array) -> Row:
        """Means over the clip, and the longest still stretch."""
        changed = measures[:, 0]
        still = changed < _STILL_SHARE
        longest_s = current_s = 0.0
        for index, step_s in enumerate(np.diff(times_s).tolist(), 1):
            current_s = current_s + step_s if still[index] else 0.0
            longest_s = max(longest_s, current_s)
        valid = ~np.isnan(changed)
        return {
            "still_share": mean_or_none(still[valid].astype(np.float64)),
            "longest_still_s": round(longest_s, 3) if valid.any() else None,
            "motion": mean_or_none(changed),
        }
