"""The frames of a span as pixels, decoded by a confined child: for clips that are no files."""

from __future__ import annotations

import ffmpeg
import numpy as np

from curation.media import child, colour
from curation.media.cut import Span, command, cut, exactly
from curation.media.watch import Frames


def read_span(path: str, span: Span, width: int, height: int, limits: child.Limits) -> Frames:
    """All frames of the span at `width` × `height`, RGB uint8 of shape [n, height, width, 3].

    Oriented, scaled and tone-mapped as a render is. Raises `MediaError` for damage.
    """

    def attempt(ahead_s: float | None) -> tuple[int, Frames]:
        video = cut(path, span, limits, ahead_s, audio=False).video
        video = video.filter("scale", width, height, flags=f"bicubic+{colour.EXACT}")
        output = ffmpeg.output(
            video, "pipe:1", format="rawvideo", pix_fmt="rgb24", fps_mode="passthrough",
            enc_time_base="demux",
        )  # fmt: skip
        out, _ = child.run(command(output), limits)
        frames = np.frombuffer(out, np.uint8).reshape(-1, height, width, 3)
        return len(frames), frames

    return exactly(span, attempt)
