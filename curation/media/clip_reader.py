"""Reads clips that Reelmill encoded itself, with decord.

decord is fast at random access and reduced sizes, but it carries an old FFmpeg with every demuxer,
opens what a playlist names, and reports no error for a truncated file. So it gets no path: the
bytes are read once, compared with the digest that render recorded, and decoded from memory. Bytes
that do not start like the mp4 files that render writes never reach it, whatever a table says.
"""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from curation.errors import MediaError
from curation.media.timeline import FrameTimes


def read_rendered_file(path: str | Path, sha256: str | None, size_bytes: int | None) -> bytes:
    """The bytes of a rendered file.

    Raises `MediaError` (`changed`) unless they are those that render recorded.
    """
    with open(path, "rb") as file:
        data = file.read((size_bytes or 0) + 1)
    if len(data) != size_bytes or hashlib.sha256(data).hexdigest() != sha256:
        raise MediaError(
            "changed", "the file has other bytes than were rendered; `reelmill verify` names such"
        )
    return data


class ClipReader:
    """One of our own clips, read at a given size."""

    def __init__(self, data: bytes, *, width: int, height: int, frames: int) -> None:
        """Opens the bytes of an mp4 file to be read at `width` × `height`, scaled if need be.

        Raises `MediaError` if it does not hold exactly `frames` frames.
        """
        if data[4:8] != b"ftyp":
            raise MediaError("corrupt", "not an mp4 file, as renders are")
        import decord

        decord.logging.set_level(decord.logging.FATAL)
        self._data = data
        self._scale = _safe_scale(width)
        try:
            self._reader = decord.VideoReader(
                io.BytesIO(data),
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

        with av.open(io.BytesIO(self._data), format="mp4") as container:
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
