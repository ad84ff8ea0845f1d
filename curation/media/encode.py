"""Writing one clip as a file: H.264 in mp4 that repeats to the byte."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import ffmpeg

from curation.media import child, colour
from curation.media.crop import Crop
from curation.media.cut import Span, command, cut, exactly
from curation.media.mask import MaskFile
from curation.media.probe import fitted_size


@dataclass(frozen=True)
class Encoding:
    """How survivors are encoded."""

    preset: Literal[
        "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower",
        "veryslow", "placebo",
    ] = "veryfast"  # fmt: skip
    """x264 preset."""
    crf: int = 18
    """x264 quality: 0 is lossless, 51 the worst."""
    longest_side: int = 1280
    """Larger pictures are scaled down to this many pixels."""
    fps: float | None = None
    """Frames a second to resample to; null keeps every frame at its own time."""
    audio: Literal["drop", "keep"] = "drop"
    """Whether sound comes along, as AAC."""

    def __post_init__(self) -> None:
        """Refuses what x264 would refuse clip by clip."""
        if not 0 <= self.crf <= 51:
            raise ValueError(f"crf goes from 0 to 51, it is {self.crf}")

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Picture size for a source displayed at `width` × `height`: even, not enlarged."""
        return fitted_size(width, height, self.longest_side)


@dataclass(frozen=True)
class Changes:
    """What is shown otherwise than in the source."""

    displayed: tuple[int, int]
    """Size of the source as displayed."""
    crop: Crop | None = None
    """The part of the source that is shown; None for all of it."""
    mask: MaskFile | None = None
    """Where all of the source's picture is blurred; None for nowhere."""


def encode(
    path: str,
    target: str,
    span: Span,
    *,
    size: tuple[int, int],
    encoding: Encoding,
    limits: child.Limits,
    audio: bool,
    changes: Changes | None = None,
) -> int:
    """Writes the span to `target` and returns its number of frames.

    Raises `MediaError` if the exact frames cannot be had.
    """

    def attempt(ahead_s: float | None) -> tuple[int, int]:
        parts = cut(path, span, limits, ahead_s, audio)
        video = _shown(parts.video, size, changes)
        if encoding.fps is not None:
            video = video.filter("fps", encoding.fps)
        streams = [video.filter("format", "yuv420p"), *([parts.audio] if audio else [])]
        output = ffmpeg.output(*streams, target, **_options(encoding, audio))
        out, _ = child.run(command(output), limits)
        count = [int(n) for n in re.findall(rb"^frame=(\d+)", out, re.M)][-1]
        if encoding.fps is None:
            return count, count
        close = abs(count - span.duration_s * encoding.fps) <= 1.5
        return (span.frames if close else -count), count

    return exactly(span, attempt)


def _shown(video: ffmpeg.Stream, size: tuple[int, int], changes: Changes | None) -> ffmpeg.Stream:
    """The picture cropped, scaled, and blurred under its mask."""
    flags = f"lanczos+{colour.EXACT}"
    video = _cropped(video, changes)
    video = video.filter("scale", *size, flags=flags, out_range="tv").filter("setsar", 1)
    if changes is None or changes.mask is None:
        return video
    masks = ffmpeg.input(f"file:{changes.mask.path}", format="nut")["0"]
    masks = _cropped(masks, changes).filter("scale", *size, flags="bilinear+bitexact")
    # All planes of the mask are its luma, so that colour is blurred where light is.
    masks = masks.filter("format", "gray").filter("mergeplanes", "0x000000", "yuv444p")
    sharp = video.filter("format", "yuv444p").filter_multi_output("split", 2)
    cells = [max(1, side // changes.mask.cell) for side in size]
    blurred = sharp[1].filter("scale", *cells, flags=f"area+{colour.EXACT}")
    blurred = blurred.filter("scale", *size, flags=f"bilinear+{colour.EXACT}")
    blurred = blurred.filter("setsar", 1)
    return ffmpeg.filter([sharp[0], blurred, masks.filter("setsar", 1)], "maskedmerge")


def _cropped(video: ffmpeg.Stream, changes: Changes | None) -> ffmpeg.Stream:
    """The part that is shown, of frames of whatever size."""
    if changes is None or changes.crop is None:
        return video
    crop, (width, height) = changes.crop, changes.displayed
    return video.filter(
        "crop",
        f"iw*{crop.width}/{width}",
        f"ih*{crop.height}/{height}",
        f"iw*{crop.left}/{width}",
        f"ih*{crop.top}/{height}",
    )


def _options(encoding: Encoding, audio: bool) -> dict[str, Any]:
    sound = {"acodec": "aac", "audio_bitrate": "128k", "flags:a": "+bitexact"} if audio else {}
    return {
        "vcodec": "libx264",
        "preset": encoding.preset,
        "crf": encoding.crf,
        "threads": 1,
        "fps_mode": "passthrough" if encoding.fps is None else "cfr",
        **({"enc_time_base": "demux"} if encoding.fps is None else {}),
        "flags:v": "+bitexact",
        "fflags": "+bitexact",
        "map_metadata": -1,
        "map_chapters": -1,
        "movflags": "+faststart",
        "format": "mp4",
        "progress": "pipe:1",
        **sound,
    }
