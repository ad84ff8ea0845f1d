"""How much moves.

Luma is averaged over blocks of 8×8 pixels, so that noise and grain cancel, and compared with the
frame a quarter of a second earlier. A block moves when it changed by more than 2.5 levels of 255.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from curation.scores.frame import AnalysisFrame, Floats, FrameScore, Row, field, mean_or_none

_BLOCK = 8
_MOVED = 2.5
_STILL = 0.002


@dataclass(frozen=True, slots=True)
class MotionScores:
    """How much of one clip moves."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    still_share: float | None = field(
        "How much of the time nothing moves.",
        high=("mostly_still", "The picture stands still for most of the clip."),
    )
    """Share of the quarter seconds in which nothing changes, 0–1."""
    longest_still_s: float | None = field(
        "How long nothing moves at a stretch.",
        high=("long_still", "The picture stands still for too long at a stretch."),
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
    compares: ClassVar[bool] = True

    def measure(self, look: AnalysisFrame, before: AnalysisFrame | None) -> tuple[float, ...]:
        """The share of blocks that changed since the frame before."""
        if before is None:
            return (float("nan"),)
        change = np.abs(_blocks(look.luma) - _blocks(before.luma))
        return (float((change > _MOVED).mean()),)

    def summarise(self, measures: Floats, times_s: Floats) -> Row:
        """Means over the clip, and the longest still stretch."""
        changed = measures[:, 0]
        still = changed < _STILL
        longest = since = 0.0
        for index in range(1, len(changed)):
            since = since + float(times_s[index] - times_s[index - 1]) if still[index] else 0.0
            longest = max(longest, since)
        known = ~np.isnan(changed)
        return {
            "still_share": mean_or_none(still[known].astype(np.float64)),
            "longest_still_s": round(longest, 3) if known.any() else None,
            "motion": mean_or_none(changed),
        }


def _blocks(luma: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Means over 8×8 blocks; a picture smaller than one block is one block."""
    rows, columns = (max(1, size // _BLOCK) for size in luma.shape)
    height, width = min(luma.shape[0], rows * _BLOCK), min(luma.shape[1], columns * _BLOCK)
    cut = luma[:height, :width].reshape(rows, height // rows, columns, width // columns)
    return np.asarray(cut.mean(axis=(1, 3)), np.float32)
