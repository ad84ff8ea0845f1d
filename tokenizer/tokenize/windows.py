"""Splits a clip into windows for a causal tokenizer, and scales and pads its frames.

Windows are consecutive. By default no frame is dropped and none is in two windows: the last one has
the shortest valid length that holds the remaining frames, padded with its last frame. A tail can be
dropped instead, or made whole with frames of the window before it. Independent windows each decode
alone. Slices of a stream continue the one before, so that only the first begins
with a latent frame for one frame alone.

Frames keep their aspect ratio: they shrink until the short side is small enough, and their last row
and column are repeated up to the multiple that the tokenizer takes. With a fixed shape they shrink
until they fit in it or cover it, and are padded or cropped to it. Nothing is enlarged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from curation.errors import ReelmillError
from tokenizer.models.interface import Compression, Video

MAX_FRAMES = 49
"""Default window: 1 mod 4 and 1 mod 8, so that all usual rates take it."""
WindowMode = Literal["independent", "stream"]
"""Windows that decode alone, or slices of one long stream."""
Tail = Literal["pad", "drop", "overlap"]
"""Frames that fill no window: padded, in no window, or after frames of the window before."""
Fit = Literal["pad", "crop"]
"""A picture in a fixed shape: all of it with padding, or its middle without."""
_MAX_FRAMES, _MAX_SIDE = 100_000, 16_384


class WindowError(ReelmillError, ValueError):
    """A clip or a window length that cannot be split."""


@dataclass(frozen=True, slots=True)
class SampleShape:
    """Frames and picture of every sample."""

    frames: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.frames}x{self.height}x{self.width}"

    @classmethod
    def parse_all(cls, text: str) -> tuple[SampleShape, ...]:
        """Shapes such as `49x256x448`, separated by commas; raises `WindowError`."""
        shapes = []
        for part in text.split(","):
            sides = part.strip().split("x")
            if len(sides) != 3 or not all(side.isdecimal() and len(side) < 9 for side in sides):
                raise WindowError(
                    f"shape {part.strip()!r} is not FRAMESxHEIGHTxWIDTH, such as 49x256x448"
                )
            shape = cls(*map(int, sides))
            if not (
                1 <= shape.frames <= _MAX_FRAMES
                and all(1 <= side <= _MAX_SIDE for side in (shape.height, shape.width))
            ):
                raise WindowError(
                    f"shape {shape}: frames are from 1 to {_MAX_FRAMES:,}, sides to {_MAX_SIDE:,}"
                )
            shapes.append(shape)
        return tuple(shapes)

    def check(self, rate: Compression) -> None:
        """Raises `WindowError` for a shape that a tokenizer of this rate does not take."""
        nearest = SampleShape(
            1 + rate.time * round((self.frames - 1) / rate.time),
            *(rate.space * max(1, round(side / rate.space)) for side in (self.height, self.width)),
        )
        if nearest != self:
            raise WindowError(
                f"shape {self} does not fit the rate {rate}; the nearest that does is {nearest}"
            )


def nearest_shape(width: int, height: int, shapes: Sequence[SampleShape]) -> SampleShape:
    """The shape whose aspect ratio is nearest to that of a picture, the first of equal ones."""

    def distance(shape: SampleShape) -> float:
        return abs(math.log(shape.width * height / (shape.height * width)))

    return min(shapes, key=distance)


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
    overlap_frames: int = 0
    """How many of its first frames the window before it has, too."""
    dropped_frames: int = 0
    """Frames of the clip after it that are in no window."""


def split_windows(
    frames: int,
    time: int,
    max_frames: int = MAX_FRAMES,
    mode: WindowMode = "independent",
    tail: Tail = "pad",
    *,
    is_fixed: bool = False,
) -> list[Window]:
    """The windows of a clip of `frames` ≥ 1 frames, for a tokenizer with `time` frames a latent.

    With `is_fixed` padding makes a tail as long as all other windows. A clip that is shorter than a
    window is padded, or with `drop` has no window. Raises `WindowError` if `max_frames` is not
    1 + time · k, with k at least 1 for a stream, whose tail can only be padded.
    """
    if frames < 1:
        raise WindowError(f"a clip needs at least one frame, got {frames}")
    groups = (max_frames - 1) // time
    min_groups = 1 if mode == "stream" else 0
    if max_frames < 1 or (max_frames - 1) % time or groups < min_groups:
        nearest = 1 + time * max(min_groups, round((max_frames - 1) / time))
        raise WindowError(f"max_frames {max_frames} is not 1 + {time}·k; the nearest is {nearest}")
    if mode == "stream" and (is_fixed or tail != "pad"):
        raise WindowError("a stream has no windows of one length: tails of slices are padded")
    if tail != "pad":
        return _whole_windows(frames, max_frames, tail)
    step = max_frames if mode == "independent" else groups * time
    starts = [0, *range(max_frames, frames, step)]
    windows = []
    for index, (start, end) in enumerate(zip(starts, [*starts[1:], frames], strict=True)):
        latents_before = 1 + index * groups if index and mode == "stream" else 0
        pad = -(end - start - (0 if latents_before else 1)) % time
        pad = max_frames - (end - start) if is_fixed else pad
        windows.append(Window(index, start, end - start, pad, latents_before))
    return windows


def _whole_windows(frames: int, length: int, tail: Tail) -> list[Window]:
    """Windows of one length; of a shorter clip one that is padded, or none."""
    count, rest = divmod(frames, length)
    windows = [Window(n, n * length, length, 0) for n in range(count)]
    if not count and tail == "overlap":
        return [Window(0, 0, frames, length - frames)]
    if rest and tail == "overlap":
        windows.append(Window(count, frames - length, length, 0, overlap_frames=length - rest))
    elif rest and windows:
        windows[-1] = replace(windows[-1], dropped_frames=rest)
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
    crop_left: int = 0
    """Columns of the scaled picture left of it."""
    crop_top: int = 0
    """Rows of the scaled picture above it."""
    crop_right: int = 0
    crop_bottom: int = 0

    @property
    def scaled_width(self) -> int:
        """Width at which frames are read."""
        return self.crop_left + self.width + self.crop_right

    @property
    def scaled_height(self) -> int:
        """Height at which frames are read."""
        return self.crop_top + self.height + self.crop_bottom


def fit_shape(width: int, height: int, shape: SampleShape, fit: Fit) -> PaddedSize:
    """The size within a fixed shape, and the aspect ratio kept to a pixel.

    A picture shrinks until all of it fits (`pad`) or until it covers the shape (`crop`), is cropped
    around its middle, and is padded right and below. Nothing is enlarged.
    """
    ratios = shape.width / width, shape.height / height
    scale = min(1.0, min(ratios) if fit == "pad" else max(ratios))
    scaled_width, scaled_height = (max(1, round(side * scale)) for side in (width, height))
    width, height = min(scaled_width, shape.width), min(scaled_height, shape.height)
    left, top = (scaled_width - width) // 2, (scaled_height - height) // 2
    right, bottom = scaled_width - width - left, scaled_height - height - top
    pad_right, pad_bottom = shape.width - width, shape.height - height
    return PaddedSize(width, height, pad_right, pad_bottom, left, top, right, bottom)


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
