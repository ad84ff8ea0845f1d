"""Light that flickers, and frames that repeat: seen in every frame, at 48×27.

Lamps on mains power, old film and strobe lights change how light the whole picture is from frame to
frame, faster than four frames a second can show. The common change is the median, over a grid, of
the change of log luma, so that things which move do not count; flicker is how far a frame lies from
the line between its neighbours. Cost about 0.05 ms a frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from curation.scores.frame import AnalysisFrame, Floats, FrameScore, Row, Which, field

_GRID = 3
"""Pixels of 48×27 on a side of a cell: 16×9 cells."""
_DARKEST = 8.0
_REPEATS, _MOVES = 0.35, 1.0
"""Mean change in gray levels below which a frame repeats the one before; above which it moves."""
_NEARBY_S = 0.34


@dataclass(frozen=True, slots=True)
class FlickerScores:
    """How the light of one clip flickers, and how much of it stutters."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
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
    compares: ClassVar[bool] = True
    frames: ClassVar[Which] = "all"

    def measure(self, look: AnalysisFrame, before: AnalysisFrame | None) -> tuple[float, ...]:
        """The common change of log luma since the frame before, and the mean change in levels."""
        if before is None:
            return (float("nan"),) * 2
        now, then = (_cells(each.luma) for each in (look, before))
        lit = np.minimum(now, then) > _DARKEST
        common = float(np.median(np.log(now[lit] / then[lit]))) if lit.sum() > 8 else 0.0
        return (common, float(np.abs(look.luma - before.luma).mean()))

    def summarise(self, measures: Floats, times_s: Floats) -> Row:
        """The upper quartile of the flicker, so that a lone flash is none; and the repeats."""
        known = measures[~np.isnan(measures[:, 0])]
        if not len(known):
            return {"flicker": None, "stutter": None}
        bends = np.abs(np.diff(known[:, 0])) / 2
        flicker = float(np.percentile(bends, 75)) if len(bends) else 0.0
        return {
            "flicker": round(flicker, 5),
            "stutter": round(_stutter(known[:, 1], times_s[-len(known) :]), 5),
        }


def _stutter(changes: Floats, times_s: Floats) -> float:
    """Share of the frames that repeat though something moves shortly before or after."""
    moves = times_s[changes > _MOVES]
    nearest = np.searchsorted(moves, times_s)
    padded = np.concatenate([[-np.inf], moves, [np.inf]])
    away = np.minimum(times_s - padded[nearest], padded[nearest + 1] - times_s)
    return float(((changes < _REPEATS) & (away < _NEARBY_S)).mean())


def _cells(luma: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Floats:
    rows, columns = (size // _GRID for size in luma.shape)
    cut = luma[: rows * _GRID, : columns * _GRID].reshape(rows, _GRID, columns, _GRID)
    return np.asarray(cut.mean(axis=(1, 3)), np.float64)
