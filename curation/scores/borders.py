"""Black bars around the picture: letterbox and pillarbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from curation.records import ClipRow
from curation.scores.bars import common_bars
from curation.scores.base import AnalysisFrame, Float64Array, FrameScore, Row, field


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
        return frame.bars

    def summarise(self, measures: Float64Array, times_s: Float64Array) -> Row:
        """The part of each bar that every frame has which is not too dark to tell."""
        top, bottom, left, right = common_bars(measures)
        names = ("bar_top", "bar_bottom", "bar_left", "bar_right")
        if np.isnan(top):
            return dict.fromkeys((*names, "bars"))
        covered = 1 - (1 - top - bottom) * (1 - left - right)
        values = (top, bottom, left, right, covered)
        return {n: round(v, 5) for n, v in zip((*names, "bars"), values, strict=True)}
