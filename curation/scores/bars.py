"""Where the black bars of a picture end."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bars = tuple[float, float, float, float]
"""Top, bottom, left and right bar as shares of the picture; NaN where it is too dark to tell."""

_BAR_LEVEL = 26.0
_MIN_SIDE = 0.2
_MIN_LIT = 0.1


def bar_shares(luma: npt.NDArray[np.float32]) -> Bars:
    """Top, bottom, left and right bar of a frame as shares; NaN if it is too dark to tell.

    A frame is too dark where no row or column is lit, only a small part is, or little of that
    part: lamps in the dark are not a picture between bars.
    """
    lit = np.asarray(luma > _BAR_LEVEL)
    rows, columns = (np.flatnonzero(lit.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return (float("nan"),) * 4
    height, width = luma.shape
    top, bottom, left, right = map(int, (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1))
    small = bottom - top < _MIN_SIDE * height or right - left < _MIN_SIDE * width
    if small or lit[top:bottom, left:right].mean() < _MIN_LIT:
        return (float("nan"),) * 4
    return (top / height, 1 - bottom / height, left / width, 1 - right / width)


def common_bars(measures: npt.NDArray[np.float64]) -> Bars:
    """The smallest of each bar over the frames [n, 4] that are not too dark; NaN if all are."""
    lit = measures[~np.isnan(measures[:, 0])]
    if not len(lit):
        return (float("nan"),) * 4
    top, bottom, left, right = lit.min(axis=0).tolist()
    return (top, bottom, left, right)
