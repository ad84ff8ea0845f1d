"""What kind of picture it is: filmed, a screen, or a still.

A recorded screen, a slide and a title card are drawn: large areas of exactly one colour, a handful
of colours, hard edges between them, and most pixels the same from frame to frame. Filmed pictures
have none of the four at once, drawn films some. In a still, such as a photo of a slide show, the
pixels stay though the areas are not flat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from curation.scores.look import Floats, FrameScore, Look, Row, field, mean_or_none, tag

KINDS = {
    "moving": "Pictures that move: filmed or animated.",
    "screen": "A recorded screen, slide or title card: flat colours, hard edges, little change.",
    "still": "One picture that stays: a photo of a slide show, a freeze.",
}
_FLAT = 1.0
_EDGE = 40.0
_SAME = 0.6
_STAYS = 0.96


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
    record: ClassVar[type[KindScores]] = KindScores
    compares: ClassVar[bool] = True

    def measure(self, look: Look, before: Look | None) -> tuple[float, ...]:
        """Shares: flat, of what is not flat hard edges, of the three main colours, unchanged."""
        luma = look.luma
        across, down = (np.abs(np.diff(luma, axis=axis)) for axis in (1, 0))
        step = np.maximum(across[:-1], down[:, :-1])
        flat = float((step <= _FLAT).mean()) if step.size else 1.0
        hard = float((step > _EDGE).mean()) / max(1 - flat, 1e-3) if step.size else 0.0
        red, green, blue = (look.rgb[..., c] >> 3 for c in range(3))
        names = (red.astype(np.uint16) << 10) | (green.astype(np.uint16) << 5) | blue
        colours = np.bincount(names.ravel(), minlength=1 << 15)
        main = float(np.partition(colours, -3)[-3:].sum()) / names.size
        same = float("nan")
        if before is not None:
            same = float((np.abs(luma - before.luma) <= _SAME).mean())
        return (flat, hard, main, same)

    def summarise(self, measures: Floats, times_s: Floats) -> Row:
        """The word for the median frame; none for a clip of one frame, of which nothing changes."""
        inside = measures[~np.isnan(measures[:, 3])]
        word = None
        if len(inside):
            flat, hard, main, same = np.median(inside, axis=0)
            drawn = flat > 0.7 and hard > 0.13 and main > 0.55
            word = "still" if same > _STAYS else "moving"
            word = "screen" if drawn and same > 0.85 else word
        return {
            "kind": word,
            "flat_share": mean_or_none(inside[:, 0]),
            "unchanged_share": mean_or_none(inside[:, 3]),
        }
