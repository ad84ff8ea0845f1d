"""The samples of a stored row: the whole row, or windows of latent frames cut from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tokenizer.feed.errors import FeedError

Ints = npt.NDArray[np.int64]
Shape = tuple[int, int, int]
"""Latent frames, height and width of a sample."""

_FIELD_BITS = 21
"""Bits of each number in a packed shape."""


@dataclass(frozen=True)
class RowShapes:
    """The columns that determine the samples of some rows: four arrays [rows]."""

    latent_frames: Ints
    latent_height: Ints
    latent_width: Ints
    causal_first: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.latent_frames)


@dataclass(frozen=True)
class Samples:
    """Samples in the order of their rows: three arrays of one length."""

    row: Ints
    """Row of each sample."""
    first_latent: Ints
    """Latent frame of the row at which it starts."""
    shape: Ints
    """Its packed shape."""

    def __getitem__(self, mask: npt.NDArray[np.bool_]) -> Samples:
        return Samples(self.row[mask], self.first_latent[mask], self.shape[mask])


@dataclass(frozen=True)
class SequenceWindow:
    """How rows are cut into samples."""

    latent_frames: int | None = None
    """Latent frames of a window; None for whole rows. Shorter rows have no window."""
    stride: int | None = None
    """Latent frames from one window's start to the next; None for the length of a window."""
    causal_only: bool = False
    """Only windows whose first latent encodes a single frame: they need no context."""

    def __post_init__(self) -> None:
        for name, value in (("window", self.latent_frames), ("stride", self.stride)):
            if value is not None and value < 1:
                raise FeedError(f"a {name} needs at least one latent frame, got {value}")
        if self.stride is not None and self.latent_frames is None:
            raise FeedError("a stride needs latent_frames, the length of a window, as well")

    def samples(self, rows: RowShapes) -> Samples:
        """The samples of all rows."""
        stride = self.stride or self.latent_frames or 1
        if self.latent_frames is None:
            windows = np.ones(len(rows), np.int64)
        else:
            windows = np.maximum((rows.latent_frames - self.latent_frames) // stride + 1, 0)
        if self.causal_only:
            windows = np.minimum(windows, rows.causal_first)
        row = np.repeat(np.arange(len(rows)), windows)
        number = np.arange(len(row)) - np.repeat(np.cumsum(windows) - windows, windows)
        frames = rows.latent_frames[row] if self.latent_frames is None else self.latent_frames
        shape = pack_shape((frames, rows.latent_height[row], rows.latent_width[row]))
        return Samples(row, number * stride, shape)


def pack_shape(shape: tuple[Any, Any, Any]) -> Any:
    """A shape, or arrays of shapes, as one number each."""
    frames, height, width = shape
    return (frames << 2 * _FIELD_BITS) | (height << _FIELD_BITS) | width


def unpack_shape(shape: int) -> Shape:
    """The inverse of `pack_shape`."""
    mask = (1 << _FIELD_BITS) - 1
    return shape >> 2 * _FIELD_BITS, (shape >> _FIELD_BITS) & mask, shape & mask
