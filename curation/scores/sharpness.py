"""Sharpness: how crisp edges are.

The no-reference blur measure of Crété-Roffet et al. (2007): blur the picture once more and measure
how much of the variation between neighbouring pixels is lost. A sharp picture loses most of it, a
blurred one little. It hardly depends on contrast, and flat areas do not count. Half a gray level of
each loss is rounding: if it counted, the steps of a very smooth slope would look sharp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from curation.records import ClipRow
from curation.scores.base import AnalysisFrame, Float64Array, FrameScore, Row, field

_TAPS = 9
_ROUNDING = 0.5


@dataclass(frozen=True, slots=True)
class SharpnessScores(ClipRow):
    """How sharp one clip is."""

    sharpness: float | None = field(
        "How crisp edges are at 320 pixels.",
        low=("blurred", "The picture is out of focus or smeared."),
        high=("too_sharp", "The picture is sharper than the policy allows."),
    )
    """Median over the frames of 1 − blur, 0 (blurred) to 1; null for a flat picture."""


@dataclass(frozen=True)
class Sharpness(FrameScore):
    """Scores sharpness; cost about 1 ms a frame."""

    group: ClassVar[str] = "sharpness"
    record: ClassVar[type[SharpnessScores]] = SharpnessScores

    def measure(self, frame: AnalysisFrame, previous: AnalysisFrame | None) -> tuple[float, ...]:
        """1 − blur of one frame; NaN if it is flat or smaller than the blur."""
        if min(frame.luma.shape) <= _TAPS:
            return (float("nan"),)
        return (1.0 - max(_remaining_variation(frame.luma, axis) for axis in (1, 0)),)

    def summarise(self, measures: Float64Array, times_s: Float64Array) -> Row:
        """The median frame."""
        valid = measures[~np.isnan(measures[:, 0]), 0]
        return {"sharpness": round(float(np.median(valid)), 5) if len(valid) else None}


def _remaining_variation(luma: npt.NDArray[np.float32], axis: int) -> float:
    """Share of the variation along an axis that a 9-tap box blur leaves; NaN if there is none."""

    def part(values: npt.NDArray[Any], first: int, last: int | None) -> npt.NDArray[Any]:
        return values[first:last] if axis == 0 else values[:, first:last]

    sums = np.cumsum(luma, axis=axis, dtype=np.float64)
    blurred = part(sums, _TAPS - 1, None).copy()
    later = part(blurred, 1, None)
    later -= part(sums, 0, -_TAPS)
    blurred /= _TAPS
    inner = part(luma, _TAPS // 2, luma.shape[axis] - _TAPS // 2)
    sharp_steps = np.abs(part(inner, 1, None) - part(inner, 0, -1))
    total = float(sharp_steps.sum())
    if total < 0.05 * sharp_steps.size:
        return float("nan")
    lost = np.abs(part(blurred, 1, None) - part(blurred, 0, -1))  # what is left, at first
    np.subtract(sharp_steps, lost, out=lost)
    lost -= _ROUNDING
    return (total - float(np.maximum(lost, 0, out=lost).sum())) / total
