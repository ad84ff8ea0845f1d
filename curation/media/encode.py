"""Writing one clip as a file: H.264 in mp4 that repeats to the byte.

Where another frame rate is asked for, the frame at each moment is the source's nearest, and the
file has as many frames as its length rounds to.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from dataclasses import dataclass
from typing import Any, Literal

import ffmpeg

from curation.media import colour, sandbox
from curation.media.crop import Crop
from curation.media.cut import TICK, Span, command, cut, exactly
from curation.media.mask_video import MaskFile
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
    """Frames a second to resample to, each the nearest of the source; null keeps every frame at its
    own time."""
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


@dataclass(frozen=True)
class Encoded:
    """What was written."""

    frames: int
    source_frames: tuple[int, ...] | None
    """Where the rate was changed, the source's frame that each frame shows; else None."""


def encode(
    path: str,
    target: str,
    span: Span,
    *,
    size: tuple[int, int],
    encoding: Encoding,
    limits: sandbox.Limits,
    sound: str | None = None,
    changes: Changes | None = None,
) -> Encoded:
    """Writes the span to `target`, with the sound of a WAV file of ours if there is one.

    Raises `MediaError` if the exact frames cannot be had.
    """

    def attempt(ahead_s: float | None) -> tuple[int, Encoded]:
        # Masks have the times of the source's frames, so they come before another rate.
        video = _shown(cut(path, span, limits, ahead_s), span, size, changes)
        shown = None
        with contextlib.ExitStack() as stack:
            outputs = []
            if encoding.fps is not None:
                shown = _Resampled(stack, span, encoding.fps)
                video, counted = shown.split(video)
                outputs = [counted]
            streams = [video]
            if sound is not None:
                streams.append(ffmpeg.input(f"file:{sound}", format="wav")["a:0"])
            options = _options(encoding, span, sound is not None)
            options |= {} if shown is None else shown.options
            outputs.insert(0, ffmpeg.output(*streams, target, **options))
            out, _ = sandbox.run(command(span, *outputs), limits)
            count = [int(n) for n in re.findall(rb"^frame=(\d+)", out, re.M)][-1]
            if shown is None:
                return count, Encoded(count, None)
            whole, numbers = shown.numbers()
            return (whole if len(numbers) == count else -count), Encoded(count, numbers)

    return exactly(span, attempt)


class _Resampled:
    """Another frame rate, and which frames of the source it shows.

    A frame begins to be shown half way from the one before it, so that the frame at any moment is
    the nearest. All frames of the span also go to an output that writes nothing, to be counted.
    """

    def __init__(self, stack: contextlib.ExitStack, span: Span, fps: float) -> None:
        self._span = span
        self._fps = fps
        files = (tempfile.NamedTemporaryFile(prefix="reelmill-") for _ in range(2))  # noqa: SIM115
        self._files = [stack.enter_context(file) for file in files]
        self.options = self._statistics(0)

    def _statistics(self, at: int) -> dict[str, str]:
        return {"stats_enc_pre:v": self._files[at].name, "stats_enc_pre_fmt:v": "{ni}"}

    def split(self, video: ffmpeg.Stream) -> tuple[ffmpeg.Stream, ffmpeg.Stream]:
        """The frames at the other rate, and the output that counts those that went in."""
        both = video.filter_multi_output("split", 2)
        count = max(1, round(self._span.duration_s * self._fps))
        video = both[0].filter("settb", str(TICK))
        video = video.filter("setpts", "if(N,(PTS+PREV_INPTS)/2,0)")
        video = video.filter("tpad", stop_mode="clone", stop_duration=f"{2 / self._fps:.6f}")
        video = video.filter("fps", self._fps, start_time=0, round="up", eof_action="pass")
        video = video.filter("tpad", stop=count, stop_mode="clone").filter("trim", end_frame=count)
        counted = ffmpeg.output(
            both[1], "-", format="null", fps_mode="passthrough", **self._statistics(1)
        )
        return video, counted

    def numbers(self) -> tuple[int, tuple[int, ...]]:
        """How many frames went in, and the source's number of each that came out."""
        written, entered = ([int(n) for n in file.read().split()] for file in self._files)
        if not entered:
            return 0, ()
        first = self._span.start_frame - entered[0]
        return len(entered), tuple(first + number for number in written)


def _shown(
    video: ffmpeg.Stream, span: Span, size: tuple[int, int], changes: Changes | None
) -> ffmpeg.Stream:
    """The picture cropped, scaled, and blurred under its mask."""
    flags = f"lanczos+{colour.EXACT}"
    video = span.colour.scaled(_cropped(video, changes), *size, flags).filter("setsar", 1)
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
    merged = ffmpeg.filter([sharp[0], blurred, masks.filter("setsar", 1)], "maskedmerge")
    return merged.filter("format", "yuv420p")


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


def _options(encoding: Encoding, span: Span, audio: bool) -> dict[str, Any]:
    sound = {"acodec": "aac", "audio_bitrate": "128k", "flags:a": "+bitexact"} if audio else {}
    return {
        "vcodec": "libx264",
        "preset": encoding.preset,
        "crf": encoding.crf,
        "threads": 1,
        "fps_mode": "passthrough" if encoding.fps is None else "cfr",
        **({"enc_time_base": _time_base(span)} if encoding.fps is None else {}),
        "flags:v": "+bitexact",
        "fflags": "+bitexact",
        "map_metadata": -1,
        "map_chapters": -1,
        "movflags": "+faststart",
        **({"bsf:v": _last_stays(span)} if encoding.fps is None else {}),
        "format": "mp4",
        "progress": "pipe:1",
        **sound,
    }


def _last_stays(span: Span) -> str:
    """Makes the packet that comes last last to the span's end, as a still at the end needs it."""
    end = f"round(({span.duration_s:.6f}-PTS*TB)/TB)"
    return f"setts=pts=PTS:dts=DTS:duration='if(eq(N,{span.frames - 1}),{end},DURATION)'"


def _time_base(span: Span) -> str:
    return "demux" if span.keeps_times else f"{TICK.numerator}:{TICK.denominator}"
