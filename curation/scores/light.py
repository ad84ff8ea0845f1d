"""How bright the picture is, in words: dark, dim or bright.

The tag does not depend on the time of day, the weather or the place: a night street under lamps can
be as bright as a room by day. A frame is classified by its median pixel and by its lightest fifth,
without black bars, so that a few lamps do not make a dark picture bright. A clip has a tag if three
quarters of its frames have it; most pictures are between dim and bright and have none, nor have
clips that change midway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from curation.records import ClipRow
from curation.scores.base import AnalysisFrame, Float64Array, FrameScore, Row, field, tag

LIGHTS = {
    "dark": "Nearly all of the picture is dark.",
    "dim": "Most of it is, and no large part is bright.",
    "bright": "More than half of it is bright.",
}
_DARK, _DARK_HIGH = 0.12, 0.4
"""Median and 80th percentile of luma below which a frame is dark."""
_DIM, _DIM_HIGH = 0.27, 0.45
_BRIGHT = 0.55
_MIN_FRAMES = 0.75
"""Share of the frames that a word has to hold for."""


@dataclass(frozen=True, slots=True)
class LightScores(ClipRow):
    """The light of one clip."""

    light: str | None = tag(
        "How bright the picture is, in words.",
        LIGHTS,
        ("unwanted_light", "The light is not one that the policy allows."),
    )
    """Dark, dim or bright; null between dim and bright, and where it changes midway."""
    median_luma: float | None = field("How light the middle pixel is.")
    """Luma that half of the picture exceeds, without black bars, 0–1."""


@dataclass(frozen=True)
class Light(FrameScore):
    """Classifies dark, dim and bright pictures; cost about 0.3 ms a frame."""

    group: ClassVar[str] = "light"
    version: ClassVar[int] = 2
    record: ClassVar[type[LightScores]] = LightScores

    def measure(self, frame: AnalysisFrame, previous: AnalysisFrame | None) -> tuple[float, ...]:
        """Median and 80th percentile of luma inside the bars, 0–1."""
        shares = np.nan_to_num(frame.bars)
        height, width = frame.luma.shape
        top, bottom, left, right = np.multiply(shares, (height, height, width, width)).astype(int)
        inside = frame.luma[top : height - bottom : 2, left : width - right : 2]
        median, high = np.percentile(inside, (50, 80)) / 255
        return (float(median), float(high))

    def summarise(self, measures: Float64Array, times_s: Float64Array) -> Row:
        """The tag of most frames, and the median of their medians."""
        median, high = measures.T
        dark = (median < _DARK) & (high < _DARK_HIGH)
        dim = dark | ((median < _DIM) & (high < _DIM_HIGH))
        tags = {"dark": dark, "dim": dim, "bright": median > _BRIGHT}
        word = next((word for word, frames in tags.items() if frames.mean() >= _MIN_FRAMES), None)
        return {"light": word, "median_luma": round(float(np.median(median)), 5)}
