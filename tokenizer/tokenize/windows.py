"""Cutting a clip into windows that a causal tokenizer takes, and fitting its picture.

Windows are consecutive; no frame is dropped and none is in two windows. The last one takes the
shortest valid length that holds what is left, and repeats its last frame to fill it. Independent
windows each begin anew and decode alone. Slices of a stream go on where the one before ended, so
that only the first begins with a latent frame for one frame alone.

A picture keeps its shape: it shrinks until its short side is small enough, and its last row and
column are repeated up to the multiple that the tokenizer takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tokenizer.models.interface import Rate, Video

MAX_FRAMES = 49
"""Default window: 1 mod 4 and 1 mod 8, so that all usual rates take it."""
Kind = Literal["independent", "stream"]
"""Windows that decode alone, or slices of one long stream."""


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of a clip."""

    index: int
    """Its place among the clip's windows, from 0."""
    start_frame: int
    """First frame, counted in the clip."""
    frames: int
    """Real frames."""
    pad_frames: int
    """How often the last real frame is repeated after them."""
    latents_before: int = 0
    """Latent frames of the same stream before it; 0 where it begins one."""


def split(
    frames: int, time: int, max_frames: int = MAX_FRAMES, kind: Kind = "independent"
) -> list[Window]:
    """The windows of a clip of `frames` ≥ 1 frames, for a tokenizer with `time` frames a latent.

    Raises `ValueError` if `max_frames` is not 1 + time · k, with k at least 1 for a stream.
    """
    if frames < 1:
        raise ValueError(f"a clip needs at least one frame, got {frames}")
    groups = (max_frames - 1) // time
    fewest = 1 if kind == "stream" else 0
    if max_frames < 1 or (max_frames - 1) % time or groups < fewest:
        near = 1 + time * max(fewest, round((max_frames - 1) / time))
        raise ValueError(f"max_frames {max_frames} is not 1 + {time}·k; the nearest is {near}")
    step = max_frames if kind == "independent" else groups * time
    starts = [0, *range(max_frames, frames, step)]
    windows = []
    for index, (start, end) in enumerate(zip(starts, [*starts[1:], frames], strict=True)):
        before = 1 + index * groups if index and kind == "stream" else 0
        pad = -(end - start - (0 if before else 1)) % time
        windows.append(Window(index, start, end - start, pad, before))
    return windows


@dataclass(frozen=True, slots=True)
class Picture:
    """The size of a clip's pictures as they are encoded."""

    width: int
    """Of the real picture."""
    height: int
    """Of the real picture."""
    pad_right: int
    """Repeats of its last column."""
    pad_bottom: int
    """Repeats of its last row."""


def fitted(width: int, height: int, short_side: int, rate: Rate) -> Picture:
    """How a picture is encoded: its short side at most `short_side`, the shape kept to a pixel.

    Nothing is enlarged; what `rate.space` does not divide is padded.
    """
    scale = min(1.0, short_side / min(width, height))
    wide, high = (max(1, round(side * scale)) for side in (width, height))
    return Picture(wide, high, -wide % rate.space, -high % rate.space)


def padded(video: Video, frames: int, bottom: int = 0, right: int = 0) -> Video:
    """The video [T, H, W, 3] with its last frame, row and column repeated so many times."""
    if not (frames or bottom or right):
        return video
    return np.pad(video, ((0, frames), (0, bottom), (0, right), (0, 0)), mode="edge")
