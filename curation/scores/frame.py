"""What scores are made of: frames, each prepared once and shown to every score.

A score is one small class. `measure` sees a frame and the one before and returns a few numbers;
`summarise` turns the numbers of one clip's frames into that clip's row. Between the two only the
numbers are kept, so that a long source costs little memory. What is slow, such as a network, sees a
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

Floats = npt.NDArray[np.float64]

Reason = tuple[str, str]
"""The one word of the closed list of reasons, and the sentence that explains it."""

Row = Mapping[str, float | str | None]
"""The fields of one clip's row, without its ids."""

Which = Literal["analysis", "all", "lines"]
"""Kinds of frames."""


@dataclass(frozen=True)
class AnalysisFrame:
    """One analysis frame."""

    rgb: npt.NDArray[np.uint8]
    """Shape [height, width, 3]."""
    luma: npt.NDArray[np.float32]
    """BT.709 luma, 0–255, shape [height, width]."""

    @classmethod
    def at(cls, rgb: npt.NDArray[np.uint8]) -> AnalysisFrame:
        """Prepares a frame."""
        weights = np.array([0.2126, 0.7152, 0.0722], np.float32)
        return cls(rgb, rgb.astype(np.float32) @ weights)

    @classmethod
    def of_lines(cls, luma: npt.NDArray[np.uint8]) -> AnalysisFrame:
        """Prepares luma [lines, columns] that has no colour."""
        gray = np.broadcast_to(luma[..., None], (*luma.shape, 3))
        return cls(gray, luma.astype(np.float32))

    @cached_property
    def small(self) -> npt.NDArray[np.uint8]:
        """The luma at 64×64, for whoever compares pictures rather than measures them."""
        image = Image.fromarray(np.clip(self.luma + 0.5, 0, 255).astype(np.uint8))
        return np.asarray(image.resize((64, 64), Image.Resampling.BOX))


class Score(ABC):
    """One group of scores: a table `scores/<group>`; of frames, clips or sound."""

    group: ClassVar[str]
    """Name of the table."""
    record: ClassVar[type[Any]]
    """What a row is."""
    version: ClassVar[int] = 1
    """Raised when the numbers change; part of the table's name from 2 on."""

    def load(self) -> None:  # noqa: B027  most have nothing to load
        """Loads what it needs, once in each worker."""


class FrameScore(Score):
    """A score that sees every frame as it comes."""

    compares: ClassVar[bool] = False
    """Whether its numbers compare a frame with the one before."""
    frames: ClassVar[Which] = "analysis"
    """Which frames it sees: the analysis frames; all that are decoded, at 48×27; or the analysis
    frames as `lines`: every stored line of up to 200 columns, without colour and unscaled. Of a
    source that says it is interlaced those are the lines of one field."""

    @abstractmethod
    def measure(self, look: AnalysisFrame, before: AnalysisFrame | None) -> tuple[float, ...]:
        """Numbers of one frame; those that need `before` are NaN without it."""

    @abstractmethod
    def summarise(self, measures: Floats, times_s: Floats) -> Row:
        """Fields of one clip's row, from its frames' numbers [n, k] and their times [n], n ≥ 1.

        Numbers that compare a frame with the one before are NaN for the clip's first frame.
        """


class ClipScore(Score):
    """A score too slow for every frame: it sees a few of each clip, once the clips are known."""

    looks: ClassVar[int] = 4
    """How many analysis frames of a clip it sees at most, spread evenly, as JPEG left them."""

    @abstractmethod
    def describe(self, looks: Sequence[AnalysisFrame], times_s: Floats) -> Row:
        """Fields of one clip's row, from its few frames and their times [n], n ≥ 1."""


class SoundScore(Score):
    """A score of the sound, of which it hears every sample once; null where there is none."""

    step_s: ClassVar[float]
    """Seconds that each row of its numbers stands for, a whole number of samples at 16 kHz."""

    @abstractmethod
    def measure(self, samples: npt.NDArray[np.float32]) -> Floats:
        """Numbers [m, k] of a piece of mono sound at 16 kHz, −1 to 1, one row for each step.

        Pieces are about 16 s long and a whole number of steps, but for the last.
        """

    @abstractmethod
    def summarise(self, measures: Floats, loudness: Floats) -> Row | None:
        """Fields of one clip's row from its numbers [n, k], n ≥ 1; None for what has no sound.

        `loudness` is the momentary loudness in LUFS at each tenth of a second of the clip: of the
        0.4 s that end there, all within the clip (ITU-R BS.1770-5); may be empty.
        """


def field(about: str, *, low: Reason | None = None, high: Reason | None = None) -> Any:
    """A score column that a policy may bound; `low` and `high` say what a broken bound means."""
    return dataclasses.field(metadata={"about": about, "low": low, "high": high})


def tag(about: str, words: Mapping[str, str], reason: Reason) -> Any:
    """A column with one of some words, each explained; `reason` is given where it is unwanted."""
    return dataclasses.field(metadata={"about": about, "words": dict(words), "reason": reason})


def mean_or_none(values: Floats) -> float | None:
    """Mean of the values that are numbers, or None if there are none."""
    known = values[~np.isnan(values)]
    return round(float(known.mean()), 5) if len(known) else None
