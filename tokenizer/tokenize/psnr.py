"""How much of a picture tokens keep."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from tokenizer.models.interface import Video

PerFrame = npt.NDArray[np.float64]
"""One number for each frame, [T]."""
MOST_DB = 100.0
"""What PSNR is capped at, so that identical pictures have a number."""
Measured = Literal["first", "all", "none"]
"""Which windows of a clip are decoded again to see what they keep."""


def is_measured(window: int, measured: Measured) -> bool:
    """Whether the window with this number is one of them."""
    return measured == "all" or (measured == "first" and window == 0)


def squared_errors(video: Video, other: Video) -> PerFrame:
    """Mean squared error of each frame over its pixels and colours, float64 [T].

    Squares add up exactly, so that their order changes nothing.
    """
    check_alike(video, other)
    errors = []
    for frame, made in zip(video, other, strict=True):
        apart = np.subtract(frame, made, dtype=np.float64).ravel()
        errors.append(apart @ apart / apart.size)
    return np.asarray(errors, np.float64)


def psnr_of(squared_error: float) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared error of 8-bit pictures; at most 100."""
    if squared_error <= 0:
        return MOST_DB
    return min(MOST_DB, float(10 * np.log10(255**2 / squared_error)))


def psnr_db(video: Video, other: Video) -> float:
    """PSNR in dB of a whole video: of the mean squared error over all its frames; at most 100."""
    return psnr_of(float(squared_errors(video, other).mean()))


def check_alike(video: Video, other: Video) -> None:
    """Raises `ValueError` unless these are two videos of one shape, not empty."""
    if video.shape != other.shape or video.ndim != 4 or not video.size:
        raise ValueError(
            f"need two videos [T, H, W, 3] of one shape, got {list(video.shape)}"
            f" and {list(other.shape)}"
        )
