"""The frames of a span as pixels, decoded by a confined child: for clips that are no files."""

from __future__ import annotations

import tempfile
from fractions import Fraction

import ffmpeg
import numpy as np

from curation.media import colour, sandbox
from curation.media.confinement import FileAccess
from curation.media.cut import TICK, Span, retry_until_exact, span_command, span_streams
from curation.media.decode import Frames
from curation.media.timeline import FrameTimes

TimedFrames = tuple[Frames, FrameTimes | None]
"""Frames, and when each is shown if the stream has timestamps."""


def read_span(
    path: str, span: Span, width: int, height: int, limits: sandbox.Limits
) -> TimedFrames:
    """All frames of the span at `width` × `height`, RGB uint8 of shape [n, height, width, 3].

    Oriented, scaled and tone-mapped as a render is. Raises `MediaError` for damage.
    """

    frame_bytes = 3 * width * height

    def attempt(ahead_s: float | None) -> tuple[int, TimedFrames]:
        (video,) = span_streams(path, [span], limits, ahead_s)
        video = video.filter("scale", width, height, flags=f"bicubic+{colour.EXACT_SCALING}")
        with tempfile.NamedTemporaryFile(prefix="reelmill-") as stats:
            output = ffmpeg.output(
                video, "pipe:1", format="rawvideo", pix_fmt="rgb24", fps_mode="passthrough",
                enc_time_base="demux", stats_enc_pre=stats.name, stats_enc_pre_fmt="{ptsi} {tbi}",
                **{"bsf:v": "setts=ts=N"},
            )  # fmt: skip
            out, _ = sandbox.run(
                span_command(span, output),
                limits,
                files=FileAccess((path,), (stats.name,), max_bytes=64 * limits.max_frames),
                max_output_bytes=frame_bytes * (span.frames + 1),
            )
            times = _frame_times(stats.read().decode("ascii", "replace"), span)
        count = len(out) // frame_bytes
        frames = np.frombuffer(out, np.uint8, count * frame_bytes).reshape(-1, height, width, 3)
        return len(frames), (frames, times if times and len(times.pts) == len(frames) else None)

    return retry_until_exact(span, attempt)


def _frame_times(stats: str, span: Span) -> FrameTimes | None:
    if span.frame_times is not None:
        return FrameTimes.from_pts(span.frame_ticks, TICK)
    try:
        rows = [line.split() for line in stats.splitlines()]
        return FrameTimes.from_pts([int(pts) for pts, _ in rows], Fraction(rows[0][1]))
    except (ValueError, IndexError, ZeroDivisionError):
        return None
