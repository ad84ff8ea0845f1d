"""What kind of picture it is: filmed, a screen, or a still.

A recorded screen and a slide are drawn: large areas of exactly one colour, a handful of colours,
hard edges between them, and most pixels the same from frame to frame. Filmed pictures never have
all four, animated films some. In a still, such as a photo of a slide show, the pixels stay the same
though the areas are not flat. In both, what is not flat stays the same too: lamps on a black road
and a title that grows leave most pixels unchanged, but none of those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from curation.records import ClipRow
from curation.scores.base import (
    AnalysisFrame,
    Float64Array,
    FrameScore,
    Row,
    field,
    mean_or_none,
    tag,
)

KINDS = {
    "moving": "Pictures that move: filmed or animated.",
    "screen": "A recorded screen or a slide: flat colours, hard edges, little change.",
    "still": "One picture that stays: a photo of a slide show, a freeze.",
}
_FLAT_STEP = 1.0
_EDGE_STEP = 40.0
_UNCHANGED_STEP = 0.6
"""Gray levels: most in a flat area, least at a hard edge, most of an unchanged pixel."""
_STILL_SHARE = 0.96
_MIN_DRAWN = 0.75
"""Share of the frames that have to be drawn for a screen."""
_MIN_DETAIL_UNCHANGED = 0.7


@dataclass(frozen=True, slots=True)
class KindScores(ClipRow):
    """What kind of picture one clip is."""

    kind: str | None = tag(
        "What kind of picture it is.",
        KINDS,
        ("unwanted_kind", "The kind of picture is not one that the policy allows."),
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
    """Classifies screens, stills and pictures that move; cost about 1.5 ms a frame."""

    group: ClassVar[str] = "kind"
    version: ClassVar[int] = 2
    record: ClassVar[type[KindScores]] = KindScores
    compares_frames: ClassVar[bool] = True

    def measure(self, frame: AnalysisFrame, previous: AnalysisFrame | None) -> tuple[float, ...]:
        """Shares: flat; hard edges outside flat areas; the three main colours; unchanged; and
        unchanged outside flat areas."""
        luma = frame.luma
        horizontal, vertical = (np.abs(np.diff(luma, axis=axis)) for axis in (1, 0))
        step = np.maximum(horizontal[:-1], vertical[:, :-1])
        flat = float((step <= _FLAT_STEP).mean()) if step.size else 1.0
        hard = float((step > _EDGE_STEP).mean()) / max(1 - flat, 1e-3) if step.size else 0.0
        red, green, blue = (frame.rgb[..., c] >> 3 for c in range(3))
        colours = (red.astype(np.uint16) << 10) | (green.astype(np.uint16) << 5) | blue
        counts = np.bincount(colours.ravel(), minlength=1 << 15)
        main = sum(_take_largest(counts) for _ in range(3)) / colours.size
        same = same_detail = float("nan")
        if previous is not None:
            unchanged = np.abs(luma - previous.luma) <= _UNCHANGED_STEP
            same = float(unchanged.mean())
            same_detail = float(unchanged[:-1, :-1][step > _FLAT_STEP].mean()) if flat < 1 else 1.0
        return (flat, hard, main, same, same_detail)

    def summarise(self, measures: Float64Array, times_s: Float64Array) -> Row:
        """The tag of the clip; null for a single frame."""
        pairs = measures[~np.isnan(measures[:, 3])]
        word = None
        if len(pairs):
            flat, hard, main, same, same_detail = pairs.T
            drawn = (flat > 0.7) & (hard > 0.13) & (main > 0.55) & (same > 0.85)
            word = "moving"
            if np.median(same_detail) > _MIN_DETAIL_UNCHANGED:
                word = "still" if same.mean() > _STILL_SHARE else word
                word = "screen" if drawn.mean() >= _MIN_DRAWN else word
        return {
            "kind": word,
            "flat_share": mean_or_none(pairs[:, 0]),
            "unchanged_share": mean_or_none(pairs[:, 3]),
        }


def _take_largest(counts: npt.NDArray[np.int64]) -> int:
    """The largest count, which becomes 0."""
    index = counts.argmax()
    largest = int(counts[index])
    counts[index] = 0
    return largest
