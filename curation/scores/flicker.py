"""Flickering light and repeated frames, from every frame at 48×27.

Lamps on mains power, old film and strobe lights change the brightness of the whole picture from
frame to frame, faster than four frames a second can show. The common change is the median, over a
grid, of the change of log luma, so that moving things do not count; flicker is how far a frame is
from the line between its neighbours. Cost: about 0.05 ms a frame.
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
    FrameStream,
    Row,
    block_means,
    field,
)

_GRID = 3
"""Pixels of 48×27 on a side of a cell: 16×9 cells."""
_MIN_LUMA = 8.0
_REPEATS, _MOVES = 0.35, 1.0
"""Mean change in gray levels below which a frame repeats the one before; above which it moves."""
_NEARBY_S = 0.34


@dataclass(frozen=True, slots=True)
class FlickerScores(ClipRow):
    """How the light of one clip flickers, and how much of it stutters."""

    flicker: float | None = field(
        "How much the light flickers.",
        high=("flicker", "The light flickers from frame to frame."),
    )
    """Typical step of log luma away from the neighbouring frames; 0.1 is ten per cent."""
    stutter: float | None = field(
        "How many frames repeat the one before while things move.",
        high=("stutters", "The picture jerks: too many frames repeat the one before."),
    )
    """Share of the frames that do, with motion within a third of a second of them, 0–1."""


@dataclass(frozen=True)
class Flicker(FrameScore):
    """Scores flicker and repeated frames."""

    group: ClassVar[str] = "flicker"
    record: ClassVar[type[FlickerScores]] = FlickerScores
    compares_frames: ClassVar[bool] = True
    stream: ClassVar[FrameStream] = "lowres"

    def measure(self, frame: AnalysisFrame, previous: AnalysisFrame | None) -> tuple[float, ...]:
        """The common change of log luma since the frame before, and the mean change in levels."""
        if previous is None:
            return (float("nan"),) * 2
        cells, previous_cells = (
            block_means(f.luma, _GRID).astype(np.float64) for f in (frame, previous)
        )
        lit = np.minimum(cells, previous_cells) > _MIN_LUMA
        change = np.log(cells[lit] / previous_cells[lit])
        common = float(np.median(change)) if lit.sum() > 8 else 0.0
        return (common, float(np.abs(frame.luma - previous.luma).mean()))

    def summarise(self, measures: Float64Array, times_s: Float64Array) -> Row:
        """The upper quartile of the flicker, so that one flash does not count; and the repeats."""
        valid = measures[~np.isnan(measures[:, 0])]
        if not len(valid):
            return {"flicker": None, "stutter": None}
        bends = np.abs(np.diff(valid[:, 0])) / 2
        flicker = float(np.percentile(bends, 75)) if len(bends) else 0.0
        return {
            "flicker": round(flicker, 5),
            "stutter": round(_stutter(valid[:, 1], times_s[-len(valid) :]), 5),
        }


def _stutter(changes: Float64Array, times_s: Float64Array) -> float:
    """Share of the frames that repeat though something moves shortly before or after."""
    moves = times_s[changes > _MOVES]
    nearest = np.searchsorted(moves, times_s)
    padded = np.concatenate([[-np.inf], moves, [np.inf]])
    distance_s = np.minimum(times_s - padded[nearest], padded[nearest + 1] - times_s)
    return float(((changes < _REPEATS) & (distance_s < _NEARBY_S)).mean())
