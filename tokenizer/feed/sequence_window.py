"""Which samples a stored row gives: the whole row, or windows of latent frames cut from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tokenizer.feed.permutation import Ints

Shape = tuple[int, int, int]
"""Latent frames, height and width of a sample."""

_FIELD = 21
"""Bits of each number in a packed shape."""


@dataclass(frozen=True)
class Rows:
    """What decides the samples of some rows: four arrays of one length."""

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
    """Which row each is cut from."""
    first_latent: Ints
    """The latent frame of the row at which it starts."""
    shape: Ints
    """Its packed shape."""


@dataclass(frozen=True)
class Cut:
    """How rows become samples."""

    latents: int | None = None
    """Latent frames of a window; None for whole rows. Shorter rows give no window."""
    stride: int | None = None
    """Latent frames from one window's start to the next; None for the length of a window."""
    causal_only: bool = False
    """Only windows whose first latent stands for one frame alone: they need no context."""

    def __post_init__(self) -> None:
        for name, value in (("window", self.latents), ("stride", self.stride)):
            if value is not None and value < 1:
                raise ValueError(f"a {name} needs at least one latent frame, got {value}")
        if self.stride is not None and self.latents is None:
            raise ValueError("a stride needs the length of its windows as well")

    def samples(self, rows: Rows) -> Samples:
        """The samples of all rows."""
        each = self._windows(rows)
        row = np.repeat(np.arange(len(rows)), each)
        place = np.arange(len(row)) - np.repeat(np.cumsum(each) - each, each)
        frames = rows.latent_frames[row] if self.latents is None else self.latents
        shape = packed((frames, rows.latent_height[row], rows.latent_width[row]))
        return Samples(row, place * self._step, shape)

    @property
    def _step(self) -> int:
        return self.stride or self.latents or 1

    def _windows(self, rows: Rows) -> Ints:
        if self.latents is None:
            each = np.ones(len(rows), np.int64)
        else:
            each = np.maximum((rows.latent_frames - self.latents) // self._step + 1, 0)
        return np.minimum(each, rows.causal_first) if self.causal_only else each


def packed(shape: tuple[Any, Any, Any]) -> Any:
    """A shape, or arrays of them, as one number each."""
    frames, height, width = shape
    return (frames << 2 * _FIELD) | (height << _FIELD) | width


def unpacked(shape: int) -> Shape:
    """The shape that a packed one stands for."""
    mask = (1 << _FIELD) - 1
    return shape >> 2 * _FIELD, (shape >> _FIELD) & mask, shape & mask
