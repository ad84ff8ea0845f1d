"""Masks that we made ourselves, as a video that the encoder reads beside the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

Masks = npt.NDArray[np.uint8]
"""One picture a frame, 255 where it is to be blurred and 0 elsewhere, [n, height, width]."""


@dataclass(frozen=True)
class MaskFile:
    """A video of masks with the times of the frames that they are for."""

    path: str
    cell: int
    """Pixels of the written picture that become one where it is blurred."""


def write_masks(path: str, masks: Masks, pts: Sequence[int], tick: Fraction) -> None:
    """Writes masks that are shown at these times, in ticks, to a NUT file."""
    _, height, width = masks.shape
    with av.open(path, "w", format="nut") as sink:
        stream = sink.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "gray"
        stream.time_base = stream.codec_context.time_base = tick
        for mask, shown in zip(masks, pts, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(mask), format="gray")
            frame.pts, frame.time_base = shown, tick
            sink.mux(stream.encode(frame))
        sink.mux(stream.encode(None))
