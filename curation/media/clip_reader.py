"""Reads clips that Reelmill encoded itself, with decord.

decord is fast at random access and reduced sizes, but reports no error for a truncated file: it is
used for our own files only, and the caller says how many frames to expect.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from curation.errors import MediaError
from curation.media.timeline import FrameTimes


class ClipReader:
    """One of our own clips, read at a given size."""

    def __init__(self, path: str | Path, *, width: int, height: int, frames: int) -> None:
        """Opens the clip to be read at `width` × `height`, scaled if need be.

        Raises `MediaError` if the file does not hold exactly `frames` frames.
        """
        import decord

        decord.logging.set_level(decord.logging.FATAL)
        self._path = os.path.abspath(path)
        self._scale = _safe_scale(width)
        try:
            self._reader = decord.VideoReader(
                self._path,
                ctx=decord.cpu(0),
                width=width * self._scale,
                height=height * self._scale,
                num_threads=1,
            )
        except (decord.DECORDError, RuntimeError) as error:
            raise MediaError("corrupt", f"decord cannot open the clip: {error}") from error
        if len(self._reader) != frames:
            raise MediaError("truncated", f"{len(self._reader)} frames where {frames} should be")

    def __len__(self) -> int:
        """Frames in the clip."""
        return len(self._reader)

    def read(self, indices: Sequence[int]) -> npt.NDArray[np.uint8]:
        """These frames in this order, RGB uint8 [n, height, width, 3].

        Raises `MediaError` if they do not decode.
        """
        import decord

        try:
            frames = np.asarray(self._reader.get_batch(list(indices)).asnumpy(), np.uint8)
        except decord.DECORDError as error:
            raise MediaError("corrupt", f"decord cannot read the clip: {error}") from error
        scale = self._scale
        if scale == 1:
            return frames
        count, height, width, channels = frames.shape
        blocks = frames.reshape(count, height // scale, scale, width // scale, scale, channels)
        return np.asarray(blocks.mean(axis=(2, 4), dtype=np.float32) + 0.5, np.uint8)

    @functools.cached_property
    def times(self) -> FrameTimes | None:
        """When each frame is shown; None if the file's timestamps do not increase.

        Read from the packets, without decoding: decord rounds its times to float32.
        """
        import av

        with av.open(f"file:{self._path}") as container:
            stream = container.streams.video[0]
            pts = sorted(p.pts for p in container.demux(stream) if p.pts is not None)
            times = FrameTimes.from_pts(pts, stream.time_base or Fraction(0))
        return times if times and len(pts) == len(self) else None


def _safe_scale(width: int) -> int:
    """The factor by which to read larger, for widths that decord gets wrong (such as 48 and 72).

    It pads rows to a multiple of 32 pixels, and takes three times that over the width for the
    number of channels wherever the width divides it.
    """
    scale = 1
    while (padded := -(-width * scale // 32) * 32) != width * scale:
        if 3 * padded % (width * scale):
            break
        scale += 1
    return scale
