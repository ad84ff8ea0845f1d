"""Writes one clip as a file: H.264 in mp4, the same bytes every time.

At another frame rate, the frame at each moment is the source's nearest, and the file has as many
frames as its duration rounds to.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from dataclasses import dataclass
from typing import Any, Literal

import ffmpeg

from curation.media import colour, sandbox
from curation.media.cut import TICK, Span, retry_until_exact, span_command, span_stream
from curation.media.picture_edits import PictureEdits
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
    """Whether the audio is kept, as AAC."""

    def __post_init__(self) -> None:
        """Refuses what x264 would refuse clip by clip."""
        if not 0 <= self.crf <= 51:
            raise ValueError(f"crf goes from 0 to 51, it is {self.crf}")

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Picture size for a source displayed at `width` × `height`: even, not enlarged."""
        return fitted_size(width, height, self.longest_side)


@dataclass(frozen=True)
class EncodeResult:
    """What was written."""

    frames: int
    source_frames: tuple[int, ...] | None
    """At another rate, the source's frame that each frame shows; else None."""


def encode(
    path: str,
    target: str,
    span: Span,
    *,
    size: tuple[int, int],
    encoding: Encoding,
    limits: sandbox.Limits,
    audio_path: str | None = None,
    edits: PictureEdits | None = None,
) -> EncodeResult:
    """Writes the span to `target`, with the audio of a WAV file that Reelmill wrote, if given.

    Raises `MediaError` if the exact frames are not available.
    """

    def attempt(ahead_s: float | None) -> tuple[int, EncodeResult]:
        # Masks have the timestamps of the source's frames, so they come before resampling.
        video = _edited(span_stream(path, span, limits, ahead_s), span, size, edits)
        options = _options(encoding, span, audio_path is not None)
        with contextlib.ExitStack() as stack:
            resampler = None
            outputs = []
            if encoding.fps is not None:
                resampler = _Resampler(stack, span, encoding.fps)
                video, counter = resampler.split(video)
                outputs = [counter]
                options |= resampler.options
            streams = [video]
            if audio_path is not None:
                streams.append(ffmpeg.input(f"file:{audio_path}", format="wav")["a:0"])
            outputs.insert(0, ffmpeg.output(*streams, target, **options))
            out, _ = sandbox.run(span_command(span, *outputs), limits)
            written = [int(n) for n in re.findall(rb"^frame=(\d+)", out, re.M)][-1]
            if resampler is None:
                return written, EncodeResult(written, None)
            read, source_frames = resampler.frame_map()
            exact = len(source_frames) == written
            return read if exact else -written, EncodeResult(written, source_frames)

    return retry_until_exact(span, attempt)


class _Resampler:
    """Another frame rate, and which frames of the source it shows.

    A frame starts half way from the one before it, so that the frame at any moment is the nearest.
    All frames of the span also go to an output that writes nothing, to be counted.
    """

    def __init__(self, stack: contextlib.ExitStack, span: Span, fps: float) -> None:
        self._span = span
        self._fps = fps
        files = (tempfile.NamedTemporaryFile(prefix="reelmill-") for _ in range(2))  # noqa: SIM115
        self._written, self._read = [stack.enter_context(file) for file in files]
        self.options = {"stats_enc_pre:v": self._written.name, "stats_enc_pre_fmt:v": "{ni}"}

    def split(self, video: ffmpeg.Stream) -> tuple[ffmpeg.Stream, ffmpeg.Stream]:
        """The frames at the other rate, and the output that counts those that went in."""
        copies = video.filter_multi_output("split", 2)
        count = max(1, round(self._span.duration_s * self._fps))
        video = copies[0].filter("settb", str(TICK))
        video = video.filter("setpts", "if(N,(PTS+PREV_INPTS)/2,0)")
        video = video.filter("tpad", stop_mode="clone", stop_duration=f"{2 / self._fps:.6f}")
        video = video.filter("fps", self._fps, start_time=0, round="up", eof_action="pass")
        video = video.filter("tpad", stop=count, stop_mode="clone").filter("trim", end_frame=count)
        stats = {"stats_enc_pre:v": self._read.name, "stats_enc_pre_fmt:v": "{ni}"}
        counter = ffmpeg.output(copies[1], "-", format="null", fps_mode="passthrough", **stats)
        return video, counter

    def frame_map(self) -> tuple[int, tuple[int, ...]]:
        """How many frames went in, and the source's frame of each that came out."""
        written, read = (
            [int(n) for n in file.read().split()] for file in (self._written, self._read)
        )
        if not read:
            return 0, ()
        offset = self._span.start_frame - read[0]
        return len(read), tuple(offset + frame for frame in written)


def _edited(
    video: ffmpeg.Stream, span: Span, size: tuple[int, int], edits: PictureEdits | None
) -> ffmpeg.Stream:
    """The picture cropped, scaled, and blurred under its mask."""
    flags = f"lanczos+{colour.EXACT_SCALING}"
    video = span.colour.scale(_cropped(video, edits), *size, flags).filter("setsar", 1)
    if edits is None or edits.mask is None:
        return video
    masks = ffmpeg.input(f"file:{edits.mask.path}", format="nut")["0"]
    masks = _cropped(masks, edits).filter("scale", *size, flags="bilinear+bitexact")
    # Each plane of the mask is its luma, so that chroma is blurred where luma is.
    masks = masks.filter("format", "gray").filter("mergeplanes", "0x000000", "yuv444p")
    sharp = video.filter("format", "yuv444p").filter_multi_output("split", 2)
    cells = [max(1, side // edits.mask.cell_px) for side in size]
    blurred = sharp[1].filter("scale", *cells, flags=f"area+{colour.EXACT_SCALING}")
    blurred = blurred.filter("scale", *size, flags=f"bilinear+{colour.EXACT_SCALING}")
    blurred = blurred.filter("setsar", 1)
    merged = ffmpeg.filter([sharp[0], blurred, masks.filter("setsar", 1)], "maskedmerge")
    return merged.filter("format", "yuv420p")


def _cropped(video: ffmpeg.Stream, edits: PictureEdits | None) -> ffmpeg.Stream:
    """The part that is shown, of frames of any size."""
    if edits is None or edits.crop is None:
        return video
    crop, (width, height) = edits.crop, edits.displayed_size
    return video.filter(
        "crop",
        f"iw*{crop.width}/{width}",
        f"ih*{crop.height}/{height}",
        f"iw*{crop.left}/{width}",
        f"ih*{crop.top}/{height}",
    )


def _options(encoding: Encoding, span: Span, audio: bool) -> dict[str, Any]:
    options = {
        "vcodec": "libx264",
        "preset": encoding.preset,
        "crf": encoding.crf,
        "threads": 1,
        "flags:v": "+bitexact",
        "fflags": "+bitexact",
        "map_metadata": -1,
        "map_chapters": -1,
        "movflags": "+faststart",
        "format": "mp4",
        "progress": "pipe:1",
    }
    if encoding.fps is None:
        time_base = "demux" if span.has_container_times else f"{TICK.numerator}:{TICK.denominator}"
        options |= {"fps_mode": "passthrough", "enc_time_base": time_base}
        # The last packet lasts to the span's end, as a still at the end needs it.
        last, end = span.frames - 1, f"round(({span.duration_s:.6f}-PTS*TB)/TB)"
        duration = f"if(eq(N,{last}),{end},DURATION)"
        options["bsf:v"] = f"setts=pts=PTS:dts=DTS:duration='{duration}'"
    else:
        options["fps_mode"] = "cfr"
    if audio:
        options |= {"acodec": "aac", "audio_bitrate": "128k", "flags:a": "+bitexact"}
    return options
