"""Cutting a clip into windows that a causal tokenizer takes, and fitting its picture.

Windows are consecutive and independent; no frame is dropped and none is in two windows. The last
window takes the shortest valid length that holds what is left, and repeats its last frame to fill
it. Windows encoded independently differ from one long stream, which is why every row records where
its window starts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenizer.interface import Rate, Video

MAX_FRAMES = 49
"""Default window: 1 mod 4 and 1 mod 8, so that all usual rates take it."""
_SMALLEST_SIDE = 32


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


def split(frames: int, time: int, max_frames: int = MAX_FRAMES) -> list[Window]:
    """The windows of a clip of `frames` ≥ 1 frames, for a tokenizer with `time` frames a latent.

    Raises `ValueError` if `max_frames` is not 1 + time · k.
    """
    if frames < 1:
        raise ValueError(f"a clip needs at least one frame, got {frames}")
    if max_frames < 1 or (max_frames - 1) % time:
        near = 1 + time * max(0, round((max_frames - 1) / time))
        raise ValueError(f"max_frames {max_frames} is not 1 + {time}·k; the nearest is {near}")
    windows = []
    for index, start in enumerate(range(0, frames, max_frames)):
        real = min(max_frames, frames - start)
        windows.append(Window(index, start, real, -(real - 1) % time))
    return windows


def padded(video: Video, pad_frames: int) -> Video:
    """The video with its last frame repeated `pad_frames` times."""
    return np.concatenate([video, np.repeat(video[-1:], pad_frames, axis=0)])


def fitted_size(width: int, height: int, short_side: int, rate: Rate) -> tuple[int, int]:
    """Width and height, multiples of `rate.space`, whose short side is at most `short_side`.

    Nothing is enlarged, except that no side is under 32; the long side is the multiple that keeps
    the shape best.
    """
    space = rate.space
    smallest = -(-_SMALLEST_SIDE // space) * space
    short, long = sorted((width, height))
    short_fit = max(smallest, min(short_side, short) // space * space)
    wanted = round(long * short_fit / short / space) * space
    long_fit = max(smallest, min(wanted, max(short_fit, long // space * space)))
    return (short_fit, long_fit) if width <= height else (long_fit, short_fit)
