"""Text on screen: how much, how long, and which words, by RapidOCR (PP-OCR models, in its package).

It detects and reads lines of text at the size of the analysis frames: what is smaller than about 9
pixels there is missed. A line of low confidence, or of one character, is taken for texture.
"""

from __future__ import annotations

import importlib.util
import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from curation.errors import InfrastructureError
from curation.extras import install_command
from curation.records import ClipRow
from curation.scores.base import AnalysisFrame, ClipScore, Float64Array, Row, field
from curation.scores.detector import MissingModelError

_CORNER = 0.3
"""A line is in a corner if its centre is within this share of both sides' ends."""
_MIN_CHARACTERS = 2
_MIN_FRAMES = 0.75


@dataclass(frozen=True, slots=True)
class TextScores(ClipRow):
    """The text in one clip."""

    text_share: float | None = field(
        "How much of the picture is text.",
        high=("text", "Too much of the picture is text."),
    )
    """Mean area of the lines of text, 0–1."""
    text_time: float | None = field(
        "How much of the time there is text.",
        high=("lasting_text", "There is text for too much of the time."),
    )
    """Share of the sampled frames in which there is text, 0–1."""
    corner_text: float | None = field(
        "Whether text stays in a corner, as a channel's name does.",
        high=("corner_text", "Text stays in a corner of the picture."),
    )
    """1 if one corner has text in three quarters of those frames, of at least two; else 0."""
    screen_words: str | None = field("What is written.")
    """Every line once, in the order in which they came; empty without text."""


@dataclass(frozen=True)
class Text(ClipScore):
    """Detects and reads text in a few frames of each clip; cost about 0.4 s a frame."""

    threshold: float = 0.8
    """Least confidence with which a line is read, 0–1."""
    group: ClassVar[str] = "text"
    record: ClassVar[type[TextScores]] = TextScores

    def __post_init__(self) -> None:
        """Raises `MissingModelError` without the package."""
        if importlib.util.find_spec("rapidocr") is None:
            raise MissingModelError(f"rapidocr is not installed: {install_command('ocr')}")

    def load(self) -> None:
        """Loads the models; `InfrastructureError` where the package is missing."""
        _reader()

    def describe(self, frames: Sequence[AnalysisFrame], times_s: Float64Array) -> Row:
        """Area, time and words of all lines."""
        boxes, lines = zip(*map(self.read, frames), strict=True)
        corners = np.array([_corners(b) for b in boxes]).mean(axis=0)
        areas = [float(np.prod(b[:, 2:] - b[:, :2], axis=1).sum()) for b in boxes]
        stays = len(frames) > 1 and corners.max() >= _MIN_FRAMES
        return {
            "text_share": round(float(np.mean(np.minimum(areas, 1))), 5),
            "text_time": round(float(np.mean(list(map(bool, lines)))), 5),
            "corner_text": float(stays),
            "screen_words": " ".join(dict.fromkeys(itertools.chain(*lines))),
        }

    def read(self, frame: AnalysisFrame) -> tuple[npt.NDArray[np.float64], list[str]]:
        """Boxes [n, 4] (left, top, right, bottom, as shares) of the lines, and their words."""
        with _reader_lock:
            result = _reader()(np.ascontiguousarray(frame.rgb[..., ::-1]), use_cls=False)
        height, width = frame.luma.shape
        boxes, lines = [], []
        rows = zip(result.boxes, result.txts, result.scores, strict=True) if result.txts else ()
        for corners, line, confidence in rows:
            characters = sum(character.isalnum() for character in line)
            if confidence >= self.threshold and characters >= _MIN_CHARACTERS:
                points = np.asarray(corners, np.float64) / (width, height)
                boxes.append(np.clip([*points.min(axis=0), *points.max(axis=0)], 0, 1))
                lines.append(line)
        return np.array(boxes, np.float64).reshape(-1, 4), lines


def _corners(boxes: npt.NDArray[np.float64]) -> list[bool]:
    """Whether there is text in the upper left, upper right, lower left and lower right corner."""
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    narrow = boxes[:, 2] - boxes[:, 0] < 2 * _CORNER
    left, right, top, bottom = x < _CORNER, x > 1 - _CORNER, y < _CORNER, y > 1 - _CORNER
    return [bool((v & h & narrow).any()) for v in (top, bottom) for h in (left, right)]


_reader_lock = threading.Lock()
"""The reader keeps state while it reads."""


@cache
def _reader() -> Any:
    """The models, on one thread, for pictures whose short side is enlarged to 480 pixels."""
    try:
        from rapidocr import RapidOCR
    except ModuleNotFoundError as error:
        raise InfrastructureError(f"{error.name} is missing: {install_command('ocr')}") from error
    return RapidOCR(params={
        "Global.log_level": "critical",
        "Det.limit_side_len": 480,
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    })  # fmt: skip
