"""Low frequencies of gray frames by the cosine transform; signature and descriptor share them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from curation.scores.base import AnalysisFrame, Float64Array

Gray = npt.NDArray[np.uint8]
"""Luma of a frame, shape [64, 64]."""


@dataclass
class GrayFrames:
    """The gray analysis frames of one source and their bars: 4 KiB a frame."""

    grays: list[Gray] = field(default_factory=list)
    bars: list[tuple[float, float, float, float]] = field(default_factory=list)

    def add(self, frame: AnalysisFrame) -> None:
        """Takes the next analysis frame."""
        self.grays.append(frame.gray64)
        self.bars.append(frame.bars)


def low_frequencies(gray: Gray, bars: Float64Array, side: int, count: int) -> Float64Array:
    """The `count`×`count` lowest frequencies of a frame inside its bars, scaled to `side`×`side`.

    `bars` are the top, bottom, left and right as shares of the frame.
    """
    height, width = gray.shape
    top, bottom, left, right = bars
    box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    picture = Image.fromarray(gray).resize((side, side), Image.Resampling.BOX, box=box)
    basis = dct_basis(count, side)
    return np.asarray(basis @ np.asarray(picture, np.float64) @ basis.T, np.float64)


@cache
def dct_basis(count: int, side: int) -> Float64Array:
    """The first `count` rows of the orthonormal DCT-II of length `side`."""
    k, n = np.mgrid[:count, :side]
    cosines = np.sqrt(2 / side) * np.cos(np.pi * (n + 0.5) * k / side)
    cosines[0] /= np.sqrt(2)
    return np.asarray(cosines)
