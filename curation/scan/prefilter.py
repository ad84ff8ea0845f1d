"""Which windows of a video may hold a transition, by three cheap measures of change.

The network of `curation.scan.transnet` costs over a hundred times as much as these measures, and
most windows hold no transition. For each frame, in the 48×27 pictures:

- `detail`: how far the next frame leaves the range of values that this one has in each pixel's 5×5
  neighbourhood, which small motion does not (mean over pixels, in levels of 255);
- `colour`: half the L1 distance of histograms of 512 colours, eight frames apart, which pans and
  moving things hardly change (0–1);
- `layout`: one minus the correlation of 9×16 blocks of brightness, 32 frames apart, which grows in
  slow dissolves too (0–2).

A logistic rule on their logarithms scores each frame; a window passes if its highest score is
above a limit. `python benchmarks/shots.py DATA --fit` fits weights and limit to the network's own
output. Other values give other shots, and so another `Scan.version`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from curation.media.decode import Frames

Floats = npt.NDArray[np.float64]

WEIGHTS = np.array([1.2, 0.72, 1.21])
"""Of the logarithms of detail, colour and layout."""
LIMIT = -3.55
"""A window whose highest weighted sum is below holds no transition."""
_FLOORS = np.array([0.2, 0.01, 0.01])
"""Added to the measures: changes below are noise."""
_MIDDLE = np.arange(25, 75)
"""The frames of a window that the network classifies."""


def may_hold_transition(window: Frames) -> bool:
    """Whether the network should see this window, uint8 RGB [100, 27, 48, 3]."""
    return bool((log_measures(window) @ WEIGHTS).max() >= LIMIT)


def log_measures(window: Frames) -> Floats:
    """Logarithms of detail, colour and layout of the middle 50 frames, [50, 3]."""
    measures = np.stack([_detail(window), _colour(window), _layout(window)], axis=1)
    logs: Floats = np.log(measures + _FLOORS)
    return logs


def _detail(window: Frames) -> Floats:
    frames, following = window[_MIDDLE], window[_MIDDLE + 1]
    outside = following - np.minimum(following, _neighbourhood(frames, np.maximum))
    outside += np.maximum(following, _neighbourhood(frames, np.minimum)) - following
    total = outside.reshape(50, -1).sum(axis=1, dtype=np.int64)
    return np.asarray(total / outside[0].size)


def _neighbourhood(frames: Frames, extreme: np.ufunc) -> Frames:
    """The extreme of the 5×5 pixels around each, fewer at the edges: twice that of 3×3."""
    for axis in (1, 2, 1, 2):
        source, frames = np.moveaxis(frames, axis, 0), frames.copy()
        target = np.moveaxis(frames, axis, 0)
        extreme(target[1:], source[:-1], out=target[1:])
        extreme(target[:-1], source[1:], out=target[:-1])
    return frames


def _colour(window: Frames) -> Floats:
    before, after = _MIDDLE - 3, _MIDDLE + 5
    first, count = before[0], after[-1] + 1 - before[0]
    levels = (window[first : first + count] >> 5).astype(np.int64)
    colours = (levels[..., 0] << 6) + (levels[..., 1] << 3) + levels[..., 2]
    colours += 512 * np.arange(count)[:, None, None]
    histograms = np.bincount(colours.ravel(), minlength=512 * count).reshape(count, 512)
    change = np.abs(histograms[before - first] - histograms[after - first])
    return np.asarray(change.sum(axis=1) / (2 * 27 * 48))


def _layout(window: Frames) -> Floats:
    blocks = window.reshape(-1, 9, 3, 16, 9).sum(axis=(2, 4), dtype=np.int64).reshape(-1, 144) / 27
    blocks -= blocks.mean(axis=1, keepdims=True)
    length = np.sqrt(np.square(blocks).sum(axis=1)) + 12.0  # of noise of one level
    before, after = _MIDDLE - 15, _MIDDLE + 17
    product = (blocks[before] * blocks[after]).sum(axis=1)
    return np.asarray(1 - product / (length[before] * length[after]))
