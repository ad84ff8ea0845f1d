"""Exposure: how light the picture is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from curation.records import ClipRow
from curation.scores.base import AnalysisFrame, Float64Array, FrameScore, Row, field, mean_or_none

_BLACK = 20.0
_WHITE = 248.0


@dataclass(frozen=True, slots=True)
class ExposureScores(ClipRow):
    """How light one clip is."""

    black_share: float | None = field(
        "How much of the picture is black.",
        high=("black", "Nearly all of the picture is black."),
    )
    """Mean share of pixels below 20 of 255, 0–1."""
    white_share: float | None = field(
        "How much of the picture is burnt out.",
        high=("burnt_out", "Nearly all of the picture is white."),
    )
    """Mean share of pixels above 248 of 255, 0–1."""
    brightness: float | None = field(
        "How light the picture is.",
        low=("dark", "The picture is too dark."),
        high=("bright", "The picture is too light."),
    )
    """Mean luma, 0–1."""
    contrast: float | None = field(
        "How far light and dark lie apart.",
        low=("flat", "Light and dark hardly differ."),
        high=("harsh", "Light and dark differ more than the policy allows."),
    )
    """Mean over the frames of the standard deviation of luma, 0–0.5."""


@dataclass(frozen=True)
class Exposure(FrameScore):
    """Scores exposure; cost about 0.2 ms a frame."""

    group: ClassVar[str] = "exposure"
    record: ClassVar[type[ExposureScores]] = ExposureScores

    def measure(self, frame: AnalysisFrame, previous: AnalysisFrame | None) -> tuple[float, ...]:
        """The shares of black and white, mean, and standard deviation."""
        luma = frame.luma
        return (
            float((luma < _BLACK).mean()),
            float((luma > _WHITE).mean()),
            float(luma.mean()) / 255,
            float(luma.std()) / 255,
        )

    def summarise(self, measures: Float64Array, times_s: Float64Array) -> Row:
        """Means over the clip."""
        names = ("black_share", "white_share", "brightness", "contrast")
        return {n: mean_or_none(column) for n, column in zip(names, measures.T, strict=True)}
