"""Edits of a render: cropped to inside black bars, and blurred where a mask says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from curation.media.probe import fitted_size

_MIN_BAR = 0.01
"""Share of the picture below which a bar is ignored."""
_MEASURED_SIDE = 320
"""Longest side of the pictures that bars were measured in; edges there are exact to one pixel."""

Masks = npt.NDArray[np.uint8]
"""One mask per frame, 255 where it is blurred and 0 elsewhere, [n, height, width]."""


@dataclass(frozen=True)
class Crop:
    """A rectangle of a picture, in pixels as displayed."""

    left: int
    top: int
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}+{self.left}+{self.top}"


@dataclass(frozen=True)
class MaskFile:
    """A video of masks with the timestamps of the frames that they are for."""

    path: str
    cell_px: int
    """Side of a blurred cell in pixels of the written picture."""


@dataclass(frozen=True)
class PictureEdits:
    """Edits of one clip's picture."""

    displayed_size: tuple[int, int]
    """Width and height of the source as displayed."""
    crop: Crop | None = None
    """The part of the source that is shown; None for all of it."""
    mask: MaskFile | None = None
    """Where the uncropped picture is blurred; None for nowhere."""


def crop_bars(bars: Sequence[float | None], width: int, height: int) -> Crop | None:
    """The part of a picture of this size inside its black bars, or None if it has none.

    `bars` are the shares of the upper, lower, left and right bar. Each is widened by one pixel of
    the measured picture, so that no edge of it remains.
    """
    measured_width, measured_height = fitted_size(width, height, _MEASURED_SIDE)
    pixel = np.repeat([1 / measured_height, 1 / measured_width], 2)
    shares = np.array([share or 0.0 for share in bars])
    shares = np.where(shares < _MIN_BAR, 0.0, shares + pixel)
    if not shares.any():
        return None
    top, bottom, left, right = np.ceil(shares * (height, height, width, width)).astype(int).tolist()
    return Crop(left, top, max(2, width - left - right), max(2, height - top - bottom))


def write_masks(path: str, masks: Masks, pts: Sequence[int], time_base: Fraction) -> None:
    """Writes masks with these timestamps to a NUT file."""
    import av

    _, height, width = masks.shape
    with av.open(path, "w", format="nut") as sink:
        stream = sink.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "gray"
        stream.time_base = stream.codec_context.time_base = time_base
        for mask, mask_pts in zip(masks, pts, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(mask), format="gray")
            frame.pts, frame.time_base = mask_pts, time_base
            sink.mux(stream.encode(frame))
        sink.mux(stream.encode(None))
