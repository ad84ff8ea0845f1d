"""Windows of a clip, and the frames that represent each.

A clip is cut into equal windows of at most `window_s` seconds, and each window into as many equal
parts as it may have frames; the middle frame of each part represents it.
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
from curation.render.rendered_clip import frame_reader, open_rendered_clip


@dataclass(frozen=True, slots=True)
class CaptionWindow:
    """Consecutive frames of a rendered file."""

    number: int
    """Among the clip's windows, from 0."""
    start: int
    """First frame of the file."""
    end: int
    """End frame, exclusive."""

    def sample_frames(self, max_frames: int) -> list[int]:
        """Frame numbers that represent the window: at most `max_frames`, evenly spaced."""
        count = min(max_frames, self.end - self.start)
        part = (self.end - self.start) / count
        return [self.start + int((index + 0.5) * part) for index in range(count)]


@dataclass(frozen=True, eq=False, slots=True)
class FrameWindow:
    """A model's input for one caption: frames of a window, or captions."""

    clip: CaptionClip
    number: int
    """Among the clip's windows, from 0."""
    start_frame: int
    """Counted in the source."""
    end_frame: int
    """Exclusive."""
    duration_s: float
    frames: Frames
    """RGB uint8 [n, height, width, 3]; n is 0 for captions."""
    captions: tuple[str, ...] = ()


def split_windows(frames: int, fps: float, window_s: float | None) -> list[CaptionWindow]:
    """Equal windows of at most `window_s` seconds; one for all where that is None."""
    count = 1 if window_s is None else max(1, math.ceil(frames / fps / window_s - 1e-6))
    count = min(count, frames)
    bounds = [round(index * frames / count) for index in range(count + 1)]
    return [CaptionWindow(index, bounds[index], bounds[index + 1]) for index in range(count)]


def frame_windows(
    clip: CaptionClip, max_frames: int, window_s: float | None, longest_side: int, limits: Limits
) -> Iterator[FrameWindow]:
    """The clip window by window; a clip that comes with captions is one window of these.

    Raises `MediaError`, and what else reading the file raises.
    """
    file = clip.file
    if file is None:
        no_frames = np.zeros((0, 1, 1, 3), np.uint8)
        yield FrameWindow(
            clip, 0, clip.start_frame, clip.end_frame, clip.duration_s, no_frames, clip.captions
        )
        return
    if file.frames < 1:
        raise MediaError("no_frames", "the clip has no frames")
    width, height = shrunk_size(file.width, file.height, longest_side)
    with open_rendered_clip(file) as path:
        read, _ = frame_reader(path, file, width, height, limits)
        for window in split_windows(file.frames, file.fps, window_s):
            yield FrameWindow(
                clip,
                window.number,
                file.source_frame(window.start),
                file.source_frame(window.end),
                (window.end - window.start) / file.fps,
                read(window.sample_frames(max_frames)),
            )


def shrunk_size(width: int, height: int, longest_side: int) -> tuple[int, int]:
    """Width and height with at most `longest_side` pixels a side; nothing is enlarged."""
    scale = min(1.0, longest_side / max(width, height, 1))
    return max(1, round(width * scale)), max(1, round(height * scale))
