"""What scores are made of: analysis frames, each prepared once and shown to every score.

A score is one small class. `measure` sees a frame and the one before and returns a few numbers;
`summarise` turns the numbers of one clip's frames into that clip's row. Between the two only the
numbers are kept, so that a long source costs little memory. To add a score: write one file with a
record and such a class, and add a line to `SCORES`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

Reason = tuple[str, str]
"""The one word of the closed list of reasons, and the sentence that explains it."""


@dataclass(frozen=True)
class Look:
    """One analysis frame."""

    rgb: npt.NDArray[np.uint8]
    """Shape [height, width, 3]."""
    luma: npt.NDArray[np.float32]
    """BT.709 luma, 0–255, shape [height, width]."""

    @classmethod
    def at(cls, rgb: npt.NDArray[np.uint8]) -> Look:
        """Prepares a frame."""
        weights = np.array([0.2126, 0.7152, 0.0722], np.float32)
        return cls(rgb, rgb.astype(np.float32) @ weights)


class Score(Protocol):
    """One group of scores: a table `scores/<group>`."""

    group: ClassVar[str]
    """Name of the table."""
    version: ClassVar[int]
    """Raised when the numbers change; part of the table's name from 2 on."""
    record: ClassVar[type[Any]]
    """What a row is."""
    compares: ClassVar[bool]
    """Whether its numbers compare a frame with the one before."""

    def measure(self, look: Look, before: Look | None) -> tuple[float, ...]:
        """Numbers of one frame; those that need `before` are NaN without it."""

    def summarise(self, measures: Floats, times_s: Floats) -> dict[str, float | None]:
        """Fields of one clip's row, from its frames' numbers [n, k] and their times [n], n ≥ 1.

        Numbers that compare a frame with the one before are NaN for the clip's first frame.
        """


def field(about: str, *, low: Reason | None = None, high: Reason | None = None) -> Any:
    """A score column that a policy may bound; `low` and `high` say what a broken bound means."""
    return dataclasses.field(metadata={"about": about, "low": low, "high": high})


def mean_or_none(values: Floats) -> float | None:
    """Mean of the values that are numbers, or None if there are none."""
    known = values[~np.isnan(values)]
    return round(float(known.mean()), 5) if len(known) else None
