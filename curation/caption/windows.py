"""Windows of a clip, and the frames that stand for each.

A clip is cut into equal windows of at most so many seconds, and each window into as many equal
parts as there are to be pictures; the frame in the middle of each part stands for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from curation.caption.base import CaptionClip
from curation.errors import MediaError
from curation.media.decode import Frames
from curation.media.sandbox import Limits
from curation.render.rendered_clip import ClipFile, frames_of, opened


@dataclass(frozen=True, slots=True)
class Window:
    """Some frames of a clip in a row."""

    number: int
    """Among the clip's windows, from 0."""
    start: int
    """First frame of the file."""
    end: int
    """End frame, exclusive."""

    def chosen(self, pictures: int) -> list[int]:
        """The frames that stand for it: at most so many, in order, at even distances."""
        count = min(pictures, self.end - self.start)
        part = (self.end - self.start) / count
        return [self.start + int((at + 0.5) * part) for at in range(count)]


@dataclass(frozen=True, eq=False, slots=True)
class Seen:
    """What a model is shown for one caption: pictures of a window, or captions."""

    clip: CaptionClip
    number: int
    """Among the clip's windows, from 0."""
    start_frame: int
    """Counted in the source."""
    end_frame: int
    """Exclusive."""
    seconds: float
    """How long the window is."""
    pictures: Frames
    """RGB uint8 [n, height, width, 3]; none for captions."""
    captions: tuple[str, ...] = ()


def split(frames: int, fps: float, window_s: float | None) -> list[Window]:
    """Equal windows of at most `window_s` seconds; one for all where that is None."""
    count = 1 if window_s is None else max(1, math.ceil(frames / fps / window_s - 1e-6))
    count = min(count, frames)
    bounds = [round(at * frames / count) for at in range(count + 1)]
    return [Window(at, bounds[at], bounds[at + 1]) for at in range(count)]


def seen(
    clip: CaptionClip, pictures: int, window_s: float | None, longest_side: int, limits: Limits
) -> Iterator[Seen]:
    """The clip window by window; or its captions at once, where it comes with those.

    Raises `MediaError` and what else goes wrong.
    """
    if clip.file is None:
        nothing = np.zeros((0, 1, 1, 3), np.uint8)
        yield Seen(clip, 0, clip.start_frame, clip.end_frame, clip.seconds, nothing, clip.captions)
        return
    file = clip.file
    if file.frames < 1:
        raise MediaError("no_frames", "the clip has no frames")
    width, height = reduced(file.width, file.height, longest_side)
    with opened(file) as path:
        read, _ = frames_of(path, file, width, height, limits)
        for window in split(file.frames, file.fps, window_s):
            yield _window(clip, file, window, read(window.chosen(pictures)))


def _window(clip: CaptionClip, file: ClipFile, window: Window, pictures: Frames) -> Seen:
    seconds = (window.end - window.start) / file.fps
    start, end = file.source_frame(window.start), file.source_frame(window.end)
    return Seen(clip, window.number, start, end, seconds, pictures)


def reduced(width: int, height: int, longest_side: int) -> tuple[int, int]:
    """The size at which the longest side has at most so many pixels; never larger than it is."""
    scale = min(1.0, longest_side / max(width, height, 1))
    return max(1, round(width * scale)), max(1, round(height * scale))
