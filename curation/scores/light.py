"""How bright the picture is, in words: dark, dim or bright.

The words say nothing of the hour, the weather or the place: a night street under lamps can be as
bright as a room by day. A frame is judged by its median pixel and by its lightest fifth, without
black bars, so that a few lamps do not make a dark picture bright. A clip has a word if three
quarters of its frames have it; what lies between dim and bright, as most pictures do, and what
changes midway, has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from curation.scores.borders import bars
from curation.scores.frame import AnalysisFrame, Floats, FrameScore, Row, field, tag

LIGHTS = {
    "dark": "Nearly all of the picture is dark.",
    "dim": "Most of it is, and no large part is bright.",
    "bright": "More than half of it is bright.",
}
_DARK, _DARK_HIGH = 0.12, 0.4
"""Median and 80th percentile of luma below which a frame is dark."""
_DIM, _DIM_HIGH = 0.27, 0.45
_BRIGHT = 0.55
_MOST = 0.75
"""Share of the frames that a word has to hold for."""


@dataclass(frozen=True, slots=True)
class LightScores:
    """The light of one clip."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    light: str | None = tag(
        "How bright the picture is, in words.",
        LIGHTS,
        ("unwanted_light", "The light is not what the policy wants."),
    )
    """Dark, dim or bright; null between dim and bright, and where it changes midway."""
    median_luma: float | None = field("How light the middle pixel is.")
    """Luma that half of the picture exceeds, without black bars, 0–1."""


@dataclass(frozen=True)
class Light(FrameScore):
    """Tells dark, dim and bright pictures; cost about 0.3 ms a frame."""

    group: ClassVar[str] = "light"
    version: ClassVar[int] = 2
    record: ClassVar[type[LightScores]] = LightScores

    def measure(self, look: AnalysisFrame, before: AnalysisFrame | None) -> tuple[float, ...]:
        """Median and 80th percentile of luma inside the bars, 0–1."""
        shares = np.nan_to_num(bars(look.luma))
        height, width = look.luma.shape
        top, bottom, left, right = np.multiply(shares, (height, height, width, width)).astype(int)
        inside = look.luma[top : height - bottom : 2, left : width - right : 2]
        middle, high = np.percentile(inside, (50, 80)) / 255
        return (float(middle), float(high))

    def summarise(self, measures: Floats, times_s: Floats) -> Row:
        """The word for most frames, and the median of their medians."""
        middle, high = measures.T
        dark = (middle < _DARK) & (high < _DARK_HIGH)
        dim = dark | ((middle < _DIM) & (high < _DIM_HIGH))
        holds = {"dark": dark, "dim": dim, "bright": middle > _BRIGHT}
        word = next((word for word, frames in holds.items() if frames.mean() >= _MOST), None)
        return {"light": word, "median_luma": round(float(np.median(middle)), 5)}
