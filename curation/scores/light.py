"""Day or night, from how bright the picture is and where.

By day most of the picture is lit. At night most of it is dark, however bright the lamps in it are:
so the word comes from the median pixel and from the lightest fifth, without black bars. What lies
between, such as dusk, deep shade or a dim room, is `dim`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from curation.scores.borders import bars
from curation.scores.look import Floats, FrameScore, Look, Row, field, tag

LIGHTS = {
    "day": "Most of the picture is lit, as by day or in a bright room.",
    "dim": "Little of it is: dusk, deep shade, a dim room.",
    "night": "Nearly all of it is dark.",
}
_NIGHT, _DAY = 0.14, 0.23
_NIGHT_HIGH = 0.4


@dataclass(frozen=True, slots=True)
class LightScores:
    """The light of one clip."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    light: str | None = tag(
        "Day or night, by brightness.",
        LIGHTS,
        ("unwanted_light", "The light is not what the policy wants."),
    )
    """Which light it is."""
    median_luma: float | None = field("How light the middle pixel is.")
    """Luma that half of the picture exceeds, without black bars, 0–1."""


@dataclass(frozen=True)
class Light(FrameScore):
    """Tells day from night; cost about 0.3 ms a frame."""

    group: ClassVar[str] = "light"
    record: ClassVar[type[LightScores]] = LightScores

    def measure(self, look: Look, before: Look | None) -> tuple[float, ...]:
        """Median and 80th percentile of luma inside the bars, 0–1."""
        shares = np.nan_to_num(bars(look.luma))
        height, width = look.luma.shape
        top, bottom, left, right = np.multiply(shares, (height, height, width, width)).astype(int)
        inside = look.luma[top : height - bottom : 2, left : width - right : 2]
        middle, high = np.percentile(inside, (50, 80)) / 255
        return (float(middle), float(high))

    def summarise(self, measures: Floats, times_s: Floats) -> Row:
        """The word for the median frame."""
        middle, high = np.median(measures, axis=0)
        word = "dim"
        if middle < _NIGHT and high < _NIGHT_HIGH:
            word = "night"
        elif middle > _DAY:
            word = "day"
        return {"light": word, "median_luma": round(float(middle), 5)}
