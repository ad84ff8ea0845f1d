"""The part of a picture inside its black bars, as scan measured them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation.media.probe import fitted_size

_LEAST = 0.01
"""Share of the picture below which a bar is none."""
_SEEN = 320
"""Longest side of the pictures that bars were measured in: an edge lies within one pixel there."""


@dataclass(frozen=True)
class Crop:
    """A rectangle of a picture, in pixels as displayed."""

    left: int
    top: int
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}+{self.left}+{self.top}"


def inside(bars: Sequence[float | None], width: int, height: int) -> Crop | None:
    """What is left of a picture of this size without its bars, or None where it has none.

    `bars` are the shares of the upper, lower, left and right bar. Each is taken one pixel of the
    measured picture larger, so that nothing of it is left.
    """
    seen_width, seen_height = fitted_size(width, height, _SEEN)
    edge = np.array([1 / seen_height, 1 / seen_height, 1 / seen_width, 1 / seen_width])
    shares = np.array([share or 0.0 for share in bars])
    shares = np.where(shares < _LEAST, 0.0, shares + edge)
    if not shares.any():
        return None
    top, bottom, left, right = np.ceil(shares * (height, height, width, width)).astype(int).tolist()
    return Crop(left, top, max(2, width - left - right), max(2, height - top - bottom))
