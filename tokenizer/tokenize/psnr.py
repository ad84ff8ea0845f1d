"""PSNR of decoded windows, and which windows are measured."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from tokenizer.models.interface import ShapeError, Video

PerFrame = npt.NDArray[np.float64]
"""One number for each frame, [T]."""
MAX_PSNR_DB = 100.0
"""The cap of PSNR, so that identical pictures have a finite value."""
MeasuredWindows = Literal["first", "all", "none"]
"""Which windows of a clip are decoded again to measure their PSNR."""


def is_measured(window: int, measured: MeasuredWindows) -> bool:
    """Whether the window with this number is measured."""
    return measured == "all" or (measured == "first" and window == 0)


def frame_mse(video: Video, other: Video) -> PerFrame:
    """Mean squared error of each frame over its pixels and colours, float64 [T].

    Squares of integers add up exactly, in any order.
    """
    check_same_shape(video, other)
    errors = []
    for frame, other_frame in zip(video, other, strict=True):
        difference = np.subtract(frame, other_frame, dtype=np.float64).ravel()
        errors.append(difference @ difference / difference.size)
    return np.asarray(errors, np.float64)


def psnr_from_mse(squared_error: float) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared error of 8-bit pictures; at most 100."""
    if squared_error <= 0:
        return MAX_PSNR_DB
    return min(MAX_PSNR_DB, float(10 * np.log10(255**2 / squared_error)))


def psnr_db(video: Video, other: Video) -> float:
    """PSNR in dB of a video, from the mean squared error over all its frames; at most 100."""
    return psnr_from_mse(float(frame_mse(video, other).mean()))


def check_same_shape(video: Video, other: Video) -> None:
    """Raises `ShapeError` unless these are two videos of one shape, not empty."""
    if video.shape != other.shape or video.ndim != 4 or not video.size:
        raise ShapeError(
            f"need two videos [T, H, W, 3] of one shape, got {list(video.shape)}"
            f" and {list(other.shape)}"
        )
