"""The contract of scores, and the frames that they measure.

A score is one small class. `measure` sees a frame and the one before and returns a few numbers;
`summarise` turns the numbers of one clip's frames into that clip's row. Only the numbers are stored
between the two, so that a long source costs little memory. A slow score, such as a network, sees a
few frames of each clip instead. To add a score: write one file with a record and such a class, and
add a line to `SCORES`.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from curation.scores.bars import Bars, bar_shares
from curation.signals.recorded_clip import RecordedClip

Float64Array = npt.NDArray[np.float64]

Reason = tuple[str, str]
"""A word of the closed list of reasons, and the sentence that explains it."""

Row = Mapping[str, float | str | None]
"""The fields of one clip's row, without its ids."""

FrameStream = Literal["analysis", "lowres", "columns"]
"""Streams of the decode: sampled frames at up to 320 pixels; every frame at 48×27; up to 200
columns of the sampled frames with every stored line."""


@dataclass(frozen=True)
class AnalysisFrame:
    """One frame, prepared once for all scores."""

    rgb: npt.NDArray[np.uint8]
    """Shape [height, width, 3]."""
    luma: npt.NDArray[np.float32]
    """BT.709 luma, 0–255, shape [height, width]."""

    @classmethod
    def from_rgb(cls, rgb: npt.NDArray[np.uint8]) -> AnalysisFrame:
        """A frame from RGB [height, width, 3]."""
        weights = np.array([0.2126, 0.7152, 0.0722], np.float32)
        return cls(rgb, rgb.astype(np.float32) @ weights)

    @classmethod
    def from_columns(cls, luma: npt.NDArray[np.uint8]) -> AnalysisFrame:
        """A gray frame from luma [lines, columns]."""
        gray = np.broadcast_to(luma[..., None], (*luma.shape, 3))
        return cls(gray, luma.astype(np.float32))

    @cached_property
    def bars(self) -> Bars:
        """Its black bars."""
        return bar_shares(self.luma)

    @cached_property
    def gray64(self) -> npt.NDArray[np.uint8]:
        """The luma at 64×64, for comparing pictures."""
        image = Image.fromarray(np.clip(self.luma + 0.5, 0, 255).astype(np.uint8))
        return np.asarray(image.resize((64, 64), Image.Resampling.BOX))


class Score(ABC):
    """One group of scores with a table `scores/<group>`; of frames, clips or sound."""

    group: ClassVar[str]
    """Name of the table."""
    record: ClassVar[type[Any]]
    """The record of a row."""
    version: ClassVar[int] = 1
    """Raised when the numbers change; part of the table's name from 2 on."""

    def load(self) -> None:  # noqa: B027  most have nothing to load
        """Loads what it needs, once in each worker."""


class FrameScore(Score):
    """A score that measures every frame of a stream as it is decoded."""

    compares_frames: ClassVar[bool] = False
    """Whether its numbers compare a frame with the one before."""
    stream: ClassVar[FrameStream] = "analysis"
    """The stream that it measures. `columns` are without colour and unscaled; of a source that is
    flagged as interlaced they are the lines of one field."""

    @abstractmethod
    def measure(self, frame: AnalysisFrame, previous: AnalysisFrame | None) -> tuple[float, ...]:
        """Numbers of one frame; those that need `previous` are NaN without it."""

    @abstractmethod
    def summarise(self, measures: Float64Array, times_s: Float64Array) -> Row:
        """Fields of one clip's row, from its frames' numbers [n, k] and their times [n], n ≥ 1.

        Numbers that compare a frame with the one before are NaN for the clip's first frame.
        """


class ClipScore(Score):
    """A score too slow for every frame: it sees a few of each clip, once the clips are known."""

    num_frames: ClassVar[int] = 4
    """Most analysis frames of a clip that it sees, spread evenly and decoded from JPEG."""

    @abstractmethod
    def describe(self, frames: Sequence[AnalysisFrame], times_s: Float64Array) -> Row:
        """Fields of one clip's row, from a few of its frames and their times [n], n ≥ 1.

        Threads describe several clips at a time.
        """


class SoundScore(Score):
    """A score of the sound, of which it gets every sample once; null where there is none."""

    step_s: ClassVar[float]
    """Seconds that each row of its numbers covers, a whole number of samples at 16 kHz."""

    @abstractmethod
    def measure(self, samples: npt.NDArray[np.float32]) -> Float64Array:
        """Numbers [m, k] of a piece of mono sound at 16 kHz, −1 to 1, one row for each step.

        Pieces are about 16 s long and a whole number of steps, but for the last.
        """

    @abstractmethod
    def summarise(self, measures: Float64Array, loudness: Float64Array) -> Row | None:
        """Fields of one clip's row from its numbers [n, k], n ≥ 1; None for no sound.

        `loudness` is the momentary loudness in LUFS at each tenth of a second of the clip: of the
        0.4 s that end there, all within the clip (ITU-R BS.1770-5); may be empty.
        """


class SignalScore(Score):
    """A score of what was recorded with a clip; all null where nothing was."""

    @abstractmethod
    def summarise(self, clip: RecordedClip) -> Row:
        """Fields of one clip's row."""


def field(about: str, *, low: Reason | None = None, high: Reason | None = None) -> Any:
    """A score column that a policy may bound; `low` and `high` are the reasons of violations."""
    return dataclasses.field(metadata={"about": about, "low": low, "high": high})


def tag(about: str, words: Mapping[str, str], reason: Reason) -> Any:
    """A column with one of some words, each explained; `reason` is given where it is unwanted."""
    return dataclasses.field(metadata={"about": about, "words": dict(words), "reason": reason})


def spread(available: int, count: int) -> list[int]:
    """Indices of up to `count` of `available` frames: the middles of equal parts."""
    count = min(count, available)
    return [int((at + 0.5) * available / count) for at in range(count)]


def mean_or_none(values: Float64Array) -> float | None:
    """Mean of the values that are not NaN, or None if all are."""
    numbers = values[~np.isnan(values)]
    return round(float(numbers.mean()), 5) if len(numbers) else None


def block_means(luma: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """Means over blocks of size×size pixels; a picture smaller than one block is one block."""
    rows, columns = (max(1, side // size) for side in luma.shape)
    height, width = min(luma.shape[0], rows * size), min(luma.shape[1], columns * size)
    blocks = luma[:height, :width].reshape(rows, height // rows, columns, width // columns)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)
