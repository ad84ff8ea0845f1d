"""Reading a rendered clip as the windows that a tokenizer takes."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction

from curation.media.sandbox import Limits
from curation.render.rendered_clip import ClipFile, frames_of, opened
from tokenizer.interface import Video
from tokenizer.windows import Picture, Window, padded

__all__ = ["ClipFile", "Piece", "pieces"]


@dataclass(frozen=True, eq=False, slots=True)
class Piece:
    """One window of a clip with its pixels."""

    clip: ClipFile
    window: Window
    windows: int
    """How many the clip has."""
    picture: Picture
    pixels: Video
    """As the tokenizer takes them: padded in time and space."""
    since_start: Fraction | None
    """Seconds from the clip's first frame to the window's, by the file's own times; None if those
    say nothing."""

    @property
    def real(self) -> Video:
        """The pixels that are no padding: a view."""
        return self.cropped(self.pixels)

    def cropped(self, video: Video) -> Video:
        """A video of the pixels' shape without padding."""
        return video[: self.window.frames, : self.picture.height, : self.picture.width]


def pieces(
    clip: ClipFile, windows: list[Window], picture: Picture, limits: Limits
) -> Generator[Piece, None, None]:
    """The clip window by window, in order; raises `MediaError` and what else goes wrong."""
    with opened(clip) as path:
        read, times = frames_of(path, clip, picture.width, picture.height, limits)
        for window in windows:
            start = window.start_frame
            video = read(range(start, start + window.frames))
            pixels = padded(video, window.pad_frames, picture.pad_bottom, picture.pad_right)
            at = times.since_start(start) if times else None
            yield Piece(clip, window, len(windows), picture, pixels, at)
