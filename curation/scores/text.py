"""Text on screen: how much, how long, and which words, by RapidOCR (PP-OCR models, in its package).

It finds lines of text and reads them, at the size of the analysis frames: what is smaller than
about 9 pixels there is not found. A line that is hardly read, or of one sign, is taken for texture.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from curation.errors import InfrastructureError
from curation.scores.frame import AnalysisFrame, ClipScore, Floats, Row, field

_CORNER = 0.3
"""A line lies in a corner if its middle is within this share of both sides' ends."""
_LEAST_SIGNS = 2
_STAYS = 0.75


@dataclass(frozen=True, slots=True)
class TextScores:
    """The text in one clip."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    text_share: float | None = field(
        "How much of the picture is text.",
        high=("text", "Too much of the picture is text."),
    )
    """Mean area of the lines of text, 0–1."""
    text_time: float | None = field(
        "How much of the time there is text.",
        high=("lasting_text", "There is text for too much of the time."),
    )
    """Share of the frames that were looked at in which there is text, 0–1."""
    corner_text: float | None = field(
        "Whether text stays in a corner, as a channel's name does.",
        high=("corner_text", "Text stays in a corner of the picture."),
    )
    """1 if one corner has text in three quarters of those frames, of at least two; else 0."""
    screen_words: str | None = field("What is written.")
    """Every line once, in the order in which they came; empty without text."""


@dataclass(frozen=True)
class Text(ClipScore):
    """Finds and reads text in a few frames of each clip; cost about 0.4 s a frame."""

    threshold: float = 0.8
    """How surely a line has to be read, 0–1."""
    group: ClassVar[str] = "text"
    record: ClassVar[type[TextScores]] = TextScores

    def __post_init__(self) -> None:
        """`ValueError` without the package."""
        if importlib.util.find_spec("rapidocr") is None:
            raise ValueError("rapidocr is not installed: pip install 'reelmill[ocr]'")

    def load(self) -> None:
        """Loads the models; `EnvironmentFaultError` where the package is missing."""
        _reader()

    def describe(self, looks: Sequence[AnalysisFrame], times_s: Floats) -> Row:
        """Area, time and words of all lines."""
        found = [self.lines(look) for look in looks]
        corners = np.array([_corners(boxes) for boxes, _ in found]).mean(axis=0)
        areas = [float(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).sum()) for boxes, _ in found]
        stays = len(looks) > 1 and corners.max() >= _STAYS
        return {
            "text_share": round(float(np.mean(np.minimum(areas, 1))), 5),
            "text_time": round(float(np.mean([bool(lines) for _, lines in found])), 5),
            "corner_text": float(stays),
            "screen_words": " ".join(dict.fromkeys(line for _, lines in found for line in lines)),
        }

    def lines(self, look: AnalysisFrame) -> tuple[npt.NDArray[np.float64], list[str]]:
        """Boxes [n, 4] (left, top, right, bottom, as shares) of the lines, and their words."""
        said = _reader()(np.ascontiguousarray(look.rgb[..., ::-1]), use_cls=False)
        height, width = look.luma.shape
        boxes, words = [], []
        read = zip(said.boxes, said.txts, said.scores, strict=True) if said.txts else ()
        for corners, line, sure in read:
            if sure >= self.threshold and sum(sign.isalnum() for sign in line) >= _LEAST_SIGNS:
                places = np.asarray(corners, np.float64) / (width, height)
                boxes.append(np.clip([*places.min(axis=0), *places.max(axis=0)], 0, 1))
                words.append(line)
        return np.array(boxes, np.float64).reshape(-1, 4), words


def _corners(boxes: npt.NDArray[np.float64]) -> list[bool]:
    """Whether there is text in the upper left, upper right, lower left and lower right corner."""
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    narrow = boxes[:, 2] - boxes[:, 0] < 2 * _CORNER
    left, right, top, bottom = x < _CORNER, x > 1 - _CORNER, y < _CORNER, y > 1 - _CORNER
    return [
        bool((down & across & narrow).any()) for down in (top, bottom) for across in (left, right)
    ]


@cache
def _reader() -> Any:
    """The models, on one thread, for pictures whose short side is enlarged to 480 pixels."""
    try:
        from rapidocr import RapidOCR
    except ModuleNotFoundError as error:
        raise InfrastructureError(
            f"{error.name} is missing: pip install 'reelmill[ocr]'"
        ) from error
    one = dict.fromkeys(("intra_op_num_threads", "inter_op_num_threads"), 1)
    threads = {f"EngineConfig.onnxruntime.{name}": count for name, count in one.items()}
    return RapidOCR(params={"Global.log_level": "critical", "Det.limit_side_len": 480, **threads})
