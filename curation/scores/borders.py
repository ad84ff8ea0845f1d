"""Black bars around the picture: letterbox and pillarbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from curation.records import ClipRow
from curation.scores.base import AnalysisFrame, Float64Array, FrameScore, Row, field

_BAR_LEVEL = 26.0
_MIN_SIDE = 0.2
_MIN_LIT = 0.1


@dataclass(frozen=True, slots=True)
class BorderScores(ClipRow):
    """The black bars of one clip, each as a share of the picture's height or width."""

    bar_top: float | None
    """Height of the upper bar, 0–1; null if every frame is too dark to tell."""
    bar_bottom: float | None
    """Height of the lower bar, 0–1."""
    bar_left: float | None
    """Width of the left bar, 0–1."""
    bar_right: float | None
    """Width of the right bar, 0–1."""
    bars: float | None = field(
        "How much of the frame black bars take up.",
        high=("bars", "Black bars take up too much of the frame (letterbox or pillarbox)."),
    )
    """Share of the frame that the bars cover, 0–1."""


@dataclass(frozen=True)
class Borders(FrameScore):
    """Detects bars that stay throughout the clip; cost about 0.1 ms a frame."""

    group: ClassVar[str] = "borders"
    record: ClassVar[type[BorderScores]] = BorderScores

    def measure(self, frame: AnalysisFrame, previous: AnalysisFrame | None) -> tuple[float, ...]:
        """The four bars of one frame; NaN if it is too dark to tell."""
        return bar_shares(frame.luma)

    def summarise(self, measures: Float64Array, times_s: Float64Array) -> Row:
        """The part of each bar that every frame has which is not too dark to tell."""
        top, bottom, left, right = common_bars(measures)
        names = ("bar_top", "bar_bottom", "bar_left", "bar_right")
        if np.isnan(top):
            return dict.fromkeys((*names, "bars"))
        covered = 1 - (1 - top - bottom) * (1 - left - right)
        values = (top, bottom, left, right, covered)
        return {n: round(v, 5) for n, v in zip((*names, "bars"), values, strict=True)}


def bar_shares(luma: npt.NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Top, bottom, left and right bar of a frame as shares; NaN if it is too dark to tell.

    A frame is too dark where no row or column is lit, only a small part is, or little of that
    part: lamps in the dark are not a picture between bars.
    """
    lit = np.asarray(luma > _BAR_LEVEL)
    rows, columns = (np.flatnonzero(lit.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return (float("nan"),) * 4
    height, width = luma.shape
    top, bottom, left, right = map(int, (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1))
    small = bottom - top < _MIN_SIDE * height or right - left < _MIN_SIDE * width
    if small or lit[top:bottom, left:right].mean() < _MIN_LIT:
        return (float("nan"),) * 4
    return (top / height, 1 - bottom / height, left / width, 1 - right / width)


def common_bars(measures: Float64Array) -> tuple[float, float, float, float]:
    """The smallest of each bar over the frames [n, 4] that are not too dark; NaN if all are."""
    lit = measures[~np.isnan(measures[:, 0])]
    if not len(lit):
        return (float("nan"),) * 4
    top, bottom, left, right = lit.min(axis=0).tolist()
    return (top, bottom, left, right)
