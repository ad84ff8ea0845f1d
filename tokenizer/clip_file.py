"""Rendered clips, and reading one as the windows that a tokenizer takes.

Our own encodes are read by decord, window by window; packets of a source (copies and spans) are
decoded by a confined child, a whole clip at a time. Another decoder, such as one on a GPU, would
stand beside the two in `_pictures`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction

from curation.media.child import Limits
from curation.media.clips import ClipReader
from curation.media.cut import Span
from curation.media.frames import read_span
from curation.media.probe import check_readable
from curation.media.times import FrameTimes
from curation.original import original
from curation.records import Source
from curation.storage import Storage
from tokenizer.interface import Video
from tokenizer.windows import Picture, Window, padded


@dataclass(frozen=True, slots=True)
class ClipFile:
    """A rendered clip."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    uri: str
    """The file to read: our own encode, a copy, or the source."""
    frames: int
    """Frames in the file."""
    width: int
    """Width in pixels."""
    height: int
    """Height in pixels."""
    fps: float
    """Frames a second."""
    start_frame: int
    """The clip's first frame, counted in the source."""
    start_s: float
    """The clip's start in seconds from the source's first frame."""
    start_pts: int | None = None
    """The clip's start in the source's `time_base`; None if it has no times."""
    time_base: str | None = None
    """Unit of `start_pts`, as a fraction of a second."""
    source_frames_each: float = 1.0
    """Source frames for each frame of the file: not 1 where a render changed the rate."""
    source: Source | None = None
    """The source, if `uri` is the source itself."""
    span: Span | None = None
    """Which frames of the file to decode in a confined child; None for our own encode, which
    decord reads whole."""

    @property
    def key(self) -> str:
        """The clip's id."""
        return self.clip_id


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
    with _opened(clip) as path:
        read, times = _pictures(path, clip, picture, limits)
        for window in windows:
            start = window.start_frame
            video = read(start, start + window.frames)
            pixels = padded(video, window.pad_frames, picture.pad_bottom, picture.pad_right)
            at = times.since_start(start) if times else None
            yield Piece(clip, window, len(windows), picture, pixels, at)


@contextlib.contextmanager
def _opened(clip: ClipFile) -> Iterator[str]:
    if clip.source is not None:
        with original(clip.source) as path:
            yield path
    else:
        with Storage.at(clip.uri).local() as path:
            check_readable(path)
            yield path


def _pictures(
    path: str, clip: ClipFile, picture: Picture, limits: Limits
) -> tuple[Callable[[int, int], Video], FrameTimes | None]:
    """Reads frames from a first to an end number, exclusive; and when each frame is shown."""
    if clip.span is not None:
        frames, times = read_span(path, clip.span, picture.width, picture.height, limits)
        return lambda start, end: frames[start:end], times
    reader = ClipReader(path, width=picture.width, height=picture.height, frames=clip.frames)
    return lambda start, end: reader.read(range(start, end)), reader.times
