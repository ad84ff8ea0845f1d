"""What kind of picture it is: filmed, a screen, or a still.

A recorded screen and a slide are drawn: large areas of exactly one colour, a handful of colours,
hard edges between them, and most pixels the same from frame to frame. Filmed pictures have none of
the four at once, drawn films some. In a still, such as a photo of a slide show, the pixels stay
though the areas are not flat. In both, what is not flat stays too: lamps on a black road and a
title that grows leave most pixels as they are, but none of those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from curation.scores.frame import AnalysisFrame, Floats, FrameScore, Row, field, mean_or_none, tag

KINDS = {
    "moving": "Pictures that move: filmed or animated.",
    "screen": "A recorded screen or a slide: flat colours, hard edges, little change.",
    "still": "One picture that stays: a photo of a slide show, a freeze.",
}
_FLAT = 1.0
_EDGE = 40.0
_SAME = 0.6
_STAYS = 0.96
_MOST = 0.75
"""Share of the frames that have to be drawn for a screen."""
_DETAIL_STAYS = 0.7


@dataclass(frozen=True, slots=True)
class KindScores:
    """What kind of picture one clip is."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    kind: str | None = tag(
        "What kind of picture it is.",
        KINDS,
        ("unwanted_kind", "The kind of picture is not one that the policy wants."),
    )
    """Filmed, screen or still."""
    flat_share: float | None = field(
        "How much of the picture is of exactly one colour.",
        high=("flat_areas", "Too much of the picture is empty areas of one colour."),
    )
    """Mean share of pixels that differ from their neighbours by at most one level, 0–1."""
    unchanged_share: float | None = field(
        "How much of the picture stays the same.",
        high=("unchanged", "Too much of the picture is the same from frame to frame."),
    )
    """Mean share of pixels that are exactly as a quarter of a second before, 0–1."""


@dataclass(frozen=True)
class Kind(FrameScore):
    """Tells screens and stills from pictures that move; cost about 1.5 ms a frame."""

    group: ClassVar[str] = "kind"
    version: ClassVar[int] = 2
    record: ClassVar[type[KindScores]] = KindScores
    compares: ClassVar[bool] = True

    def measure(self, look: AnalysisFrame, before: AnalysisFrame | None) -> tuple[float, ...]:
        """Shares: flat, of what is not flat hard edges, of the three main colours, unchanged, and
        of what is not flat unchanged."""
        luma = look.luma
        across, down = (np.abs(np.diff(luma, axis=axis)) for axis in (1, 0))
        step = np.maximum(across[:-1], down[:, :-1])
        flat = float((step <= _FLAT).mean()) if step.size else 1.0
        hard = float((step > _EDGE).mean()) / max(1 - flat, 1e-3) if step.size else 0.0
        red, green, blue = (look.rgb[..., c] >> 3 for c in range(3))
        names = (red.astype(np.uint16) << 10) | (green.astype(np.uint16) << 5) | blue
        colours = np.bincount(names.ravel(), minlength=1 << 15)
        main = float(np.partition(colours, -3)[-3:].sum()) / names.size
        same = stay = float("nan")
        if before is not None:
            unchanged = np.abs(luma - before.luma) <= _SAME
            same = float(unchanged.mean())
            stay = float(unchanged[:-1, :-1][step > _FLAT].mean()) if flat < 1 else 1.0
        return (flat, hard, main, same, stay)

    def summarise(self, measures: Floats, times_s: Floats) -> Row:
        """The word for the clip; none for one of a single frame, of which nothing changes."""
        inside = measures[~np.isnan(measures[:, 3])]
        word = None
        if len(inside):
            flat, hard, main, same, stay = inside.T
            drawn = (flat > 0.7) & (hard > 0.13) & (main > 0.55) & (same > 0.85)
            word = "moving"
            if np.median(stay) > _DETAIL_STAYS:
                word = "still" if same.mean() > _STAYS else word
                word = "screen" if drawn.mean() >= _MOST else word
        return {
            "kind": word,
            "flat_share": mean_or_none(inside[:, 0]),
            "unchanged_share": mean_or_none(inside[:, 3]),
        }
