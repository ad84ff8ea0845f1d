"""Splits a clip into windows for a causal tokenizer, and scales and pads its frames.

Windows are consecutive; no frame is dropped and none is in two windows. The last one has the
shortest valid length that holds the remaining frames, padded with its last frame. Independent
windows each decode alone. Slices of a stream continue the one before, so that only the first begins
with a latent frame for one frame alone.

Frames keep their aspect ratio: they shrink until the short side is small enough, and their last row
and column are repeated up to the multiple that the tokenizer takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from curation.errors import ReelmillError
from tokenizer.models.interface import Compression, Video

MAX_FRAMES = 49
"""Default window: 1 mod 4 and 1 mod 8, so that all usual rates take it."""
WindowMode = Literal["independent", "stream"]
"""Windows that decode alone, or slices of one long stream."""


class WindowError(ReelmillError, ValueError):
    """A clip or a window length that cannot be split."""


@dataclass(frozen=True, slots=True)
class Window:
    """Consecutive frames of a clip."""

    index: int
    """Among the clip's windows, from 0."""
    start_frame: int
    """First frame, counted in the clip."""
    frames: int
    """Real frames."""
    pad_frames: int
    """Repeats of the last real frame after them."""
    latents_before: int = 0
    """Latent frames of the same stream before it; 0 at the start of one."""


def split_windows(
    frames: int, time: int, max_frames: int = MAX_FRAMES, mode: WindowMode = "independent"
) -> list[Window]:
    """The windows of a clip of `frames` ≥ 1 frames, for a tokenizer with `time` frames a latent.

    Raises `WindowError` if `max_frames` is not 1 + time · k, with k at least 1 for a stream.
    """
    if frames < 1:
        raise WindowError(f"a clip needs at least one frame, got {frames}")
    groups = (max_frames - 1) // time
    min_groups = 1 if mode == "stream" else 0
    if max_frames < 1 or (max_frames - 1) % time or groups < min_groups:
        nearest = 1 + time * max(min_groups, round((max_frames - 1) / time))
        raise WindowError(f"max_frames {max_frames} is not 1 + {time}·k; the nearest is {nearest}")
    step = max_frames if mode == "independent" else groups * time
    starts = [0, *range(max_frames, frames, step)]
    windows = []
    for index, (start, end) in enumerate(zip(starts, [*starts[1:], frames], strict=True)):
        latents_before = 1 + index * groups if index and mode == "stream" else 0
        pad = -(end - start - (0 if latents_before else 1)) % time
        windows.append(Window(index, start, end - start, pad, latents_before))
    return windows


@dataclass(frozen=True, slots=True)
class PaddedSize:
    """The size of a clip's frames as they are encoded."""

    width: int
    """Of the real picture."""
    height: int
    """Of the real picture."""
    pad_right: int
    """Repeats of its last column."""
    pad_bottom: int
    """Repeats of its last row."""


def fit_size(width: int, height: int, short_side: int, rate: Compression) -> PaddedSize:
    """The size with the short side at most `short_side`, and the aspect ratio kept to a pixel.

    Nothing is enlarged; sides that `rate.space` does not divide are padded.
    """
    scale = min(1.0, short_side / min(width, height))
    width, height = (max(1, round(side * scale)) for side in (width, height))
    return PaddedSize(width, height, -width % rate.space, -height % rate.space)


def pad_video(video: Video, frames: int, bottom: int = 0, right: int = 0) -> Video:
    """The video [T, H, W, 3] with its last frame, row and column repeated so many times."""
    if not (frames or bottom or right):
        return video
    return np.pad(video, ((0, frames), (0, bottom), (0, right), (0, 0)), mode="edge")
