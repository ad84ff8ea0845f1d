"""Combing: two fields of different times in one frame, from interlaced video not flagged as such.

Where something moves, every other line shows another moment, and lines alternate. In a column of
sixteen stored lines that is a large alternating sum, and steps from line to line much larger than
those to the next line but one; an edge has only one of the two. Noise and fine texture alternate by
pairs of lines more often than by lines (noise: 1.1 times; real videos: 1.1 to 60), combs hardly
ever do: three quarters of what alternates by pairs is subtracted. A source that is flagged as
interlaced shows one field here and has no combs: its renders are deinterlaced. Cost: about 1 ms a
frame of 720 lines.
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
    FrameStream,
    Row,
    field,
    tag,
)

_WINDOW = 16
_MIN_ALTERNATION = 4.0
"""Gray levels by which lines alternate about their mean."""
_RATIO, _STEP = 1.5, 2.0
"""Steps between lines exceed those between next-but-one lines by this factor and this offset."""
_PAIR_WEIGHT = 0.75
"""Share of what alternates by pairs that is subtracted."""
_COMBED_SHARE = 0.004

SCANNINGS = {
    "progressive": "Each frame shows one moment, or is known to be interlaced.",
    "combed": "Frames mix the lines of two moments.",
}


@dataclass(frozen=True, slots=True)
class CombingScores(ClipRow):
    """How combed one clip is."""

    scanning: str | None = tag(
        "Whether frames show one moment or two.",
        SCANNINGS,
        ("unwanted_scanning", "Frames are scanned in a way that the policy does not allow."),
    )
    """Progressive or combed; null for pictures of fewer than 16 lines."""
    combing: float | None = field(
        "How much of the picture is combed.",
        high=("combed", "The picture is combed: interlaced lines of two moments in one frame."),
    )
    """Upper quartile over the frames of the share of the picture that is, 0–1."""


@dataclass(frozen=True)
class Combing(FrameScore):
    """Detects the combs of interlaced pictures."""

    group: ClassVar[str] = "combing"
    record: ClassVar[type[CombingScores]] = CombingScores
    stream: ClassVar[FrameStream] = "columns"

    def measure(self, frame: AnalysisFrame, previous: AnalysisFrame | None) -> tuple[float, ...]:
        """The share of columns of sixteen lines that are combed; NaN where lines are fewer."""
        lines, columns = frame.luma.shape
        if lines < _WINDOW:
            return (float("nan"),)
        stacked = frame.luma[: lines // _WINDOW * _WINDOW].reshape(-1, _WINDOW, columns)
        windows = np.ascontiguousarray(stacked.transpose(1, 0, 2)).reshape(_WINDOW, -1)
        by_line, by_pair = (float(_alternates(windows, period).mean()) for period in (1, 2))
        return (max(0.0, by_line - _PAIR_WEIGHT * by_pair),)

    def summarise(self, measures: Float64Array, times_s: Float64Array) -> Row:
        """The upper quartile, so that combs count though half of the clip is still."""
        valid = measures[~np.isnan(measures[:, 0]), 0]
        if not len(valid):
            return {"scanning": None, "combing": None}
        share = float(np.percentile(valid, 75))
        word = "combed" if share > _COMBED_SHARE else "progressive"
        return {"scanning": word, "combing": round(share, 5)}


def _alternates(windows: npt.NDArray[np.float32], period: int) -> npt.NDArray[np.bool_]:
    """Which of the windows [16, n] alternate strongly, every `period` lines."""
    signs = np.array([1 - 2 * (line // period % 2) for line in range(_WINDOW)], np.float32)
    strong = np.asarray(np.abs(signs @ windows) / _WINDOW > _MIN_ALTERNATION)
    candidates = windows[:, strong]
    step = np.abs(candidates[period:] - candidates[:-period]).mean(axis=0)
    double_step = np.abs(candidates[2 * period :] - candidates[: -2 * period]).mean(axis=0)
    strong[strong] = step > _RATIO * double_step + _STEP
    return strong
