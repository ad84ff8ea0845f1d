"""Combing: two fields of different times in one frame, as interlaced video has that says it is not.

Where something moves, every other line then shows another moment, and lines alternate. In a column
of sixteen stored lines that is a large alternating sum, and steps from line to line much larger
than those to the next line but one; an edge has one without the other. Noise and fine texture
alternate by pairs of lines more often than by lines (noise: 1.1 times; real videos: 1.1 to 60),
combs hardly ever do: three quarters of what alternates by pairs is taken off. A source that says it
is interlaced shows one field here and has no combs: its renders are deinterlaced. Cost about 1 ms a
frame of 720 lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from curation.scores.frame import AnalysisFrame, Floats, FrameScore, Row, Which, field, tag

_WINDOW = 16
_ALTERNATES = 4.0
"""Gray levels by which lines alternate about their mean."""
_RATIO, _STEP = 1.5, 2.0
"""Steps between lines are so many times those between next-but-one lines, and so much more."""
_CHANCE = 0.75
"""Share of what alternates by pairs that is taken off."""
_COMBED = 0.004

SCANNINGS = {
    "progressive": "Each frame shows one moment, or is known to be interlaced.",
    "combed": "Frames mix the lines of two moments.",
}


@dataclass(frozen=True, slots=True)
class CombingScores:
    """How combed one clip is."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    scanning: str | None = tag(
        "Whether frames show one moment or two.",
        SCANNINGS,
        ("unwanted_scanning", "Frames are scanned in a way that the policy does not want."),
    )
    """Progressive or combed; null for pictures of fewer than 16 lines."""
    combing: float | None = field(
        "How much of the picture is combed.",
        high=("combed", "The picture is combed: interlaced lines of two moments in one frame."),
    )
    """Upper quartile over the frames of the share of the picture that is, 0–1."""


@dataclass(frozen=True)
class Combing(FrameScore):
    """Finds the combs of interlaced pictures."""

    group: ClassVar[str] = "combing"
    record: ClassVar[type[CombingScores]] = CombingScores
    frames: ClassVar[Which] = "lines"

    def measure(self, look: AnalysisFrame, before: AnalysisFrame | None) -> tuple[float, ...]:
        """The share of columns of sixteen lines that are combed; NaN where lines are fewer."""
        lines, columns = look.luma.shape
        if lines < _WINDOW:
            return (float("nan"),)
        whole = look.luma[: lines // _WINDOW * _WINDOW].reshape(-1, _WINDOW, columns)
        windows = np.ascontiguousarray(whole.transpose(1, 0, 2)).reshape(_WINDOW, -1)
        by_line, by_pair = (float(_alternates(windows, apart).mean()) for apart in (1, 2))
        return (max(0.0, by_line - _CHANCE * by_pair),)

    def summarise(self, measures: Floats, times_s: Floats) -> Row:
        """The upper quartile, so that what stands for half of the time does not hide it."""
        known = measures[~np.isnan(measures[:, 0]), 0]
        if not len(known):
            return {"scanning": None, "combing": None}
        share = float(np.percentile(known, 75))
        word = "combed" if share > _COMBED else "progressive"
        return {"scanning": word, "combing": round(share, 5)}


def _alternates(windows: npt.NDArray[np.float32], apart: int) -> npt.NDArray[np.bool_]:
    """Which of the windows [16, n] alternate strongly, every line or every `apart` lines."""
    signs = np.array([1 - 2 * (line // apart % 2) for line in range(_WINDOW)], np.float32)
    strong = np.asarray(np.abs(signs @ windows) / _WINDOW > _ALTERNATES)
    some = windows[:, strong]
    near = np.abs(some[apart:] - some[:-apart]).mean(axis=0)
    far = np.abs(some[2 * apart :] - some[: -2 * apart]).mean(axis=0)
    strong[strong] = near > _RATIO * far + _STEP
    return strong
