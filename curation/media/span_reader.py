"""The frames of a span as pixels, decoded by a confined child: for clips that are no files."""

from __future__ import annotations

import tempfile
from fractions import Fraction

import ffmpeg
import numpy as np

from curation.media import colour, sandbox
from curation.media.cut import TICK, Span, command, cut, exactly
from curation.media.decode import Frames
from curation.media.frame_times import FrameTimes

Pictures = tuple[Frames, FrameTimes | None]
"""Frames, and when each is shown if the stream says so."""


def read_span(path: str, span: Span, width: int, height: int, limits: sandbox.Limits) -> Pictures:
    """All frames of the span at `width` × `height`, RGB uint8 of shape [n, height, width, 3].

    Oriented, scaled and tone-mapped as a render is. Raises `MediaError` for damage.
    """

    def attempt(ahead_s: float | None) -> tuple[int, Pictures]:
        video = cut(path, span, limits, ahead_s)
        video = video.filter("scale", width, height, flags=f"bicubic+{colour.EXACT}")
        with tempfile.NamedTemporaryFile(prefix="reelmill-") as times:
            output = ffmpeg.output(
                video, "pipe:1", format="rawvideo", pix_fmt="rgb24", fps_mode="passthrough",
                enc_time_base="demux", stats_enc_pre=times.name, stats_enc_pre_fmt="{ptsi} {tbi}",
                **{"bsf:v": "setts=ts=N"},
            )  # fmt: skip
            out, _ = sandbox.run(command(span, output), limits)
            shown = _times(times.read().decode("ascii", "replace"), span)
        frames = np.frombuffer(out, np.uint8).reshape(-1, height, width, 3)
        return len(frames), (frames, shown if shown and len(shown.pts) == len(frames) else None)

    return exactly(span, attempt)


def _times(text: str, span: Span) -> FrameTimes | None:
    if span.frame_times is not None:
        return FrameTimes.of(span.ticks, TICK)
    try:
        pairs = [line.split() for line in text.splitlines()]
        return FrameTimes.of([int(pts) for pts, _ in pairs], Fraction(pairs[0][1]))
    except (ValueError, IndexError, ZeroDivisionError):
        return None
