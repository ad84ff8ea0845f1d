"""Writes one clip as a file: H.264 in mp4, the same bytes every time.

At another frame rate, the frame at each moment is the source's nearest, and the file has as many
frames as its duration rounds to.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import ffmpeg

from curation.errors import MediaError
from curation.media import colour, sandbox
from curation.media.confinement import FileAccess
from curation.media.cut import (
    TICK,
    Span,
    retry_until_exact,
    seek_distances,
    span_command,
    span_streams,
)
from curation.media.picture_edits import PictureEdits
from curation.media.probe import fitted_size

MAX_NEIGHBOURS, MAX_PIXELS = 8, 6_000_000
"""Clips out of one decode, and the pixels of a frame of each together: encoders stay in memory to
the end, with some 150 bytes a pixel."""
_MAX_GAP_S = 4.0
"""Seconds between clips that are decoded rather than passed over."""


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
class EncodeJob:
    """One span of a source, to be written as a file."""

    target: str
    span: Span
    size: tuple[int, int]
    """Width and height of the file."""
    audio_path: str | None = None
    """A WAV file that Reelmill wrote, with the sound of the span."""
    edits: PictureEdits | None = None


@dataclass(frozen=True)
class EncodeResult:
    """What was written."""

    frames: int
    source_frames: tuple[int, ...] | None
    """At another rate, the source's frame that each frame shows; else None."""


def encode(path: str, job: EncodeJob, encoding: Encoding, limits: sandbox.Limits) -> EncodeResult:
    """Writes one span. Raises `MediaError` if its exact frames are not available."""

    def attempt(ahead_s: float | None) -> tuple[int, EncodeResult]:
        ((frames, result),) = _encode(path, [job], encoding, limits, ahead_s)
        return frames, result

    return retry_until_exact(job.span, attempt)


def encode_neighbours(
    path: str, jobs: Sequence[EncodeJob], encoding: Encoding, limits: sandbox.Limits
) -> list[EncodeResult | None]:
    """Writes spans of one source, in order, out of one decode; the bytes are those of `encode`.

    None for each whose exact frames did not come out: it is to be encoded alone.
    """
    ahead_s = seek_distances(jobs[0].span)[0]
    try:
        results = _encode(path, jobs, encoding, limits, ahead_s)
    except (MediaError, sandbox.ChildFailedError, sandbox.ChildKilledError):
        return [None] * len(jobs)
    return [
        result if frames == job.span.frames else None
        for job, (frames, result) in zip(jobs, results, strict=True)
    ]


def are_close(span: Span, following: Span) -> bool:
    """Whether decoding what lies between is cheaper than another start; of repaired times none is.

    Their expressions are long, and those of several would not fit into one argument.
    """
    if span.frame_times is not None or following.frame_times is not None:
        return False
    return 0 <= following.start_s - span.end_s <= _MAX_GAP_S


def _encode(
    path: str,
    jobs: Sequence[EncodeJob],
    encoding: Encoding,
    limits: sandbox.Limits,
    ahead_s: float | None,
) -> list[tuple[int, EncodeResult]]:
    """How many frames of each span were read, and what was written."""
    videos = span_streams(path, [job.span for job in jobs], limits, ahead_s)
    with contextlib.ExitStack() as stack:
        files = [_ClipFile(stack, job, encoding) for job in jobs]
        outputs = [
            output
            for file, video in zip(files, videos, strict=True)
            for output in file.outputs(video)
        ]
        access = FileAccess(
            reads=(path, *(name for file in files for name in file.reads)),
            writes=tuple(name for file in files for name in file.writes),
            max_bytes=max(_max_bytes(job, encoding) for job in jobs),
        )
        sandbox.run(span_command(jobs[0].span, *outputs), limits, files=access)
        return [file.result() for file in files]


def _max_bytes(job: EncodeJob, encoding: Encoding) -> int:
    """More than any encoding takes: twice the raw pictures, and what sound needs."""
    span, (width, height) = job.span, job.size
    frames = max(span.frames, round(span.duration_s * (encoding.fps or 0)))
    return 3 * width * height * (frames + 2) + round(span.duration_s * (1 << 16)) + (1 << 24)


class _ClipFile:
    """The outputs of one job, and ffmpeg's report of their frames.

    At another rate, a frame starts half way from the one before it, so that the frame at any moment
    is the nearest; all frames of the span also go to an output that writes nothing, to be counted.
    """

    def __init__(self, stack: contextlib.ExitStack, job: EncodeJob, encoding: Encoding) -> None:
        self._job = job
        self._encoding = encoding
        files = (tempfile.NamedTemporaryFile(prefix="reelmill-") for _ in range(2))  # noqa: SIM115
        self._written, self._read = [stack.enter_context(file) for file in files]
        self.reads = [] if job.audio_path is None else [job.audio_path]
        if job.edits is not None and job.edits.mask is not None:
            self.reads.append(job.edits.mask.path)
        self.writes = [job.target, self._written.name, self._read.name]

    def outputs(self, video: ffmpeg.Stream) -> list[ffmpeg.Stream]:
        """The file and, at another rate, the output that counts."""
        job, encoding = self._job, self._encoding
        # Masks have the timestamps of the source's frames, so they come before resampling.
        video = _edited(video, job.span, job.size, job.edits)
        counters = []
        if encoding.fps is not None:
            copies = video.filter_multi_output("split", 2)
            video = _resampled(copies[0], job.span, encoding.fps)
            counters = [
                ffmpeg.output(
                    copies[1], "-", format="null", fps_mode="passthrough",
                    **_frame_numbers(self._read.name),
                )
            ]  # fmt: skip
        streams = [video]
        if job.audio_path is not None:
            streams.append(ffmpeg.input(f"file:{job.audio_path}", format="wav")["a:0"])
        options = _options(encoding, job.span, job.audio_path is not None)
        options |= _frame_numbers(self._written.name)
        return [ffmpeg.output(*streams, job.target, **options), *counters]

    def result(self) -> tuple[int, EncodeResult]:
        """How many frames of the span were read, and what was written."""
        written = [int(number) for number in self._written.read().split()]
        if self._encoding.fps is None:
            return len(written), EncodeResult(len(written), None)
        read = [int(number) for number in self._read.read().split()]
        offset = self._job.span.start_frame - (read[0] if read else 0)
        return len(read), EncodeResult(len(written), tuple(offset + frame for frame in written))


def _frame_numbers(file: str) -> dict[str, str]:
    """Options that write the number of each frame that an encoder gets."""
    return {"stats_enc_pre:v": file, "stats_enc_pre_fmt:v": "{ni}"}


def _resampled(video: ffmpeg.Stream, span: Span, fps: float) -> ffmpeg.Stream:
    count = max(1, round(span.duration_s * fps))
    video = video.filter("settb", str(TICK)).filter("setpts", "if(N,(PTS+PREV_INPTS)/2,0)")
    video = video.filter("tpad", stop_mode="clone", stop_duration=f"{2 / fps:.6f}")
    video = video.filter("fps", fps, start_time=0, round="up", eof_action="pass")
    return video.filter("tpad", stop=count, stop_mode="clone").filter("trim", end_frame=count)


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
