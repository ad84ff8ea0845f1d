"""Global motion between two analysis frames: shift, scale and rotation.

Two frames are a quarter of a second apart, so motion may be large. Two pictures of at most 160
pixels are compared by phase correlation (Kuglin and Hines 1975): once as a whole, which proposes
large shifts, and then in overlapping blocks of 32×32, which gives each textured block a shift of
its own to a fraction of a pixel. A similarity transform that most blocks agree on is found by
sample consensus (Fischler and Bolles 1981) over fixed pairs of blocks, so that it repeats, and then
fitted to its inliers. Outliers are what moves by itself. Cost: about 3 ms a pair.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.scores.base import AnalysisFrame, Float64Array, block_means

Plane = npt.NDArray[np.float32]
Points = npt.NDArray[np.complex128]
"""Points or shifts as x + yi, in pixels; x to the right, y down."""

_SIDE = 160
_BLOCK = 32
_STRIDE = 16
_SOFTNESS = 0.16
"""Width of the low pass on the correlation, in cycles a pixel."""
_MIN_TEXTURE = 2.5
"""Standard deviation in gray levels from which a block is textured."""
_MIN_PEAK = 0.2
"""Height of a correlation peak, of 1, from which it counts."""
_TOLERANCE = 0.8
"""Pixels by which an inlier may miss the transform."""
_MIN_BLOCKS = 4
_MIN_INLIERS = 0.25
_ENOUGH_INLIERS = 0.7
"""Share of the blocks from which no other start is tried."""
_SURROUNDED = 0.03
"""Share of the picture from which black on all four sides leaves no background to follow."""


@dataclass(frozen=True)
class GlobalMotion:
    """A similarity transform from one frame to the next, in shares of the longest side."""

    dx: float
    """How far the content moved to the right."""
    dy: float
    """How far it moved down."""
    log_scale: float
    """Natural logarithm of the factor by which it grew."""
    rotation_rad: float
    """Angle by which it turned clockwise, in radians."""
    inlier_share: float
    """Share of the textured blocks that follow, 0–1."""
    outlier_share: float
    """Share of the textured blocks that clearly move otherwise, 0–1."""
    textured_share: float
    """Share of the blocks that are textured, 0–1."""


@dataclass(frozen=True)
class _Fit:
    """z → factor · z + shift, with z from the picture's middle."""

    factor: complex
    shift: complex
    support: float
    inlier_share: float
    outlier_share: float


_NO_FIT = _Fit(1.0, 0.0, 0.0, 0.0, 0.0)


def global_motion(before: AnalysisFrame, after: AnalysisFrame) -> GlobalMotion | None:
    """The motion between two frames; None where it is unclear.

    It cannot before black on all four sides, where the content may move by itself.
    """
    bars = np.nan_to_num(np.fmin(before.bars, after.bars))
    if bars.min() > _SURROUNDED:
        return None
    first, second = (_crop_and_shrink(frame.luma, bars) for frame in (before, after))
    if min(first.shape) < _BLOCK:
        return None
    best = _NO_FIT
    for shift in _proposals(first, second):
        best = max(best, _fit(first, second, shift), key=lambda fit: fit.support)
        if best.inlier_share > _ENOUGH_INLIERS:
            break
    if best.support == 0:
        return None
    side = max(first.shape)
    return GlobalMotion(
        best.shift.real / side,
        best.shift.imag / side,
        float(np.log(abs(best.factor))),
        float(np.angle(best.factor)),
        best.inlier_share,
        best.outlier_share,
        float(_is_textured(_blocks(first)[0]).mean()),
    )


def _crop_and_shrink(luma: Plane, bars: Float64Array) -> Plane:
    """The picture inside the bars, whose edges never move, with a longest side of about 160."""
    height, width = luma.shape
    top, bottom, left, right = (bars * (height, height, width, width)).round().astype(int)
    luma = luma[top : height - bottom, left : width - right]
    return block_means(luma, max(1, round(max(luma.shape) / _SIDE)))


def _proposals(first: Plane, second: Plane) -> Iterator[tuple[int, int]]:
    """Shifts (dx, dy) to start from: none, and the two highest peaks of the whole pictures.

    Blocks find what remains up to a third of their size, so only distant ones are worth a start.
    """
    yield 0, 0
    surface = _correlation(first[None], second[None])[0]
    height, width = surface.shape
    shifts = [(0, 0)]
    for _ in range(2):
        row, column = divmod(int(surface.argmax()), width)
        dy = row if row < height / 2 else row - height
        dx = column if column < width / 2 else column - width
        rows, columns = np.arange(row - 4, row + 5), np.arange(column - 4, column + 5)
        surface[np.ix_(rows % height, columns % width)] = -1
        distant = min(max(abs(dx - x), abs(dy - y)) for x, y in shifts) > 3
        if distant and height - abs(dy) >= _BLOCK and width - abs(dx) >= _BLOCK:
            shifts.append((dx, dy))
            yield dx, dy


def _correlation(first: Plane, second: Plane) -> Plane:
    """Phase correlation of planes [n, h, w]: its peak is where the content of the first went.

    A pure shift has a peak of height 1.
    """
    shape = (first.shape[1], first.shape[2])
    window, low_pass = _filters(shape)
    spectra = [
        np.fft.rfft2((plane - plane.mean(axis=(1, 2), keepdims=True)) * window)
        for plane in (first, second)
    ]
    cross = np.conj(spectra[0]) * spectra[1]
    cross *= low_pass / (np.abs(cross) + 1e-3)
    return np.asarray(np.fft.irfft2(cross, s=shape), np.float32)


@cache
def _filters(shape: tuple[int, int]) -> tuple[Plane, Plane]:
    """A Hann window, and a low pass that leaves a peak of height 1."""
    rows, columns = (np.hanning(size + 2)[1:-1] for size in shape)
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    gain = np.exp(-(fy**2 + fx**2) / (2 * _SOFTNESS**2))
    low_pass = gain / np.fft.irfft2(gain, s=shape).max()
    return np.asarray(np.outer(rows, columns), np.float32), np.asarray(low_pass, np.float32)


def _fit(first: Plane, second: Plane, start: tuple[int, int]) -> _Fit:
    """The transform that most blocks follow, if their contents moved by about `start`."""
    dx, dy = start
    height, width = first.shape
    source = first[max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)]
    target = second[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)]
    blocks, centres = _blocks(source)
    textured = _is_textured(blocks)
    if textured.sum() < _MIN_BLOCKS:
        return _NO_FIT
    corner = complex(max(0, -dx), max(0, -dy))
    centres = centres[textured] + corner - complex(width - 1, height - 1) / 2
    shifts, heights = _peaks(_correlation(blocks[textured], _blocks(target)[0][textured]))
    clear = heights > _MIN_PEAK
    if clear.sum() < _MIN_BLOCKS:
        return _NO_FIT
    shifts = shifts[clear] + complex(dx, dy)
    return _consensus(centres[clear], shifts, heights[clear], int(textured.sum()))


def _blocks(picture: Plane) -> tuple[Plane, Points]:
    """Blocks [n, 32, 32] that overlap by half, and their centres."""
    windows = np.lib.stride_tricks.sliding_window_view(picture, (_BLOCK, _BLOCK))
    blocks = windows[::_STRIDE, ::_STRIDE]
    rows, columns = blocks.shape[:2]
    y, x = np.mgrid[0:rows, 0:columns] * _STRIDE + (_BLOCK - 1) / 2
    return blocks.reshape(-1, _BLOCK, _BLOCK), (x + 1j * y).ravel()


def _is_textured(blocks: Plane) -> npt.NDArray[np.bool_]:
    """Which blocks [n, 32, 32] have texture to follow."""
    return np.asarray(blocks.std(axis=(1, 2)) > _MIN_TEXTURE)


def _peaks(surfaces: Plane) -> tuple[Points, Float64Array]:
    """Position and height of the peak of each correlation surface [n, 32, 32]."""
    indices = np.arange(len(surfaces))
    rows, columns = np.divmod(surfaces.reshape(len(surfaces), -1).argmax(axis=1), _BLOCK)

    def value_at(dy: int, dx: int) -> Float64Array:
        value = surfaces[indices, (rows + dy) % _BLOCK, (columns + dx) % _BLOCK]
        return np.asarray(np.maximum(value, 1e-4), np.float64)

    def subpixel(low: Float64Array, high: Float64Array) -> Any:
        below, above = np.log(heights / low), np.log(heights / high)
        return np.clip((below - above) / (2 * np.maximum(below + above, 1e-6)), -0.5, 0.5)

    heights = value_at(0, 0)
    signed_rows, signed_columns = (
        (p + _BLOCK // 2) % _BLOCK - _BLOCK // 2 for p in (rows, columns)
    )
    x = signed_columns + subpixel(value_at(0, -1), value_at(0, 1))
    y = signed_rows + subpixel(value_at(-1, 0), value_at(1, 0))
    return x + 1j * y, heights


def _consensus(centres: Points, shifts: Points, heights: Float64Array, count: int) -> _Fit:
    """Sample consensus over pairs of blocks, then least squares over the inliers."""
    targets = centres + shifts
    one, two = _pairs(len(centres))
    base = centres[one] - centres[two]
    factors = np.where(np.abs(base) > _BLOCK, (targets[one] - targets[two]) / (base + 1e-9), 1.0)
    factors = np.where(np.abs(np.abs(factors) - 1) < 0.3, factors, 1.0)
    offsets = targets[one] - factors * centres[one]
    residuals = np.abs(factors[:, None] * centres + offsets[:, None] - targets)
    best = int(((residuals < _TOLERANCE) * heights).sum(axis=1).argmax())
    factor, shift, inliers = factors[best], offsets[best], residuals[best] < _TOLERANCE
    for _ in range(3):
        if inliers.sum() < 2:
            break
        factor, shift = _least_squares(centres[inliers], targets[inliers], heights[inliers])
        inliers = np.abs(factor * centres + shift - targets) < _TOLERANCE
    inlier_share = float(inliers.sum()) / count
    if inliers.sum() < _MIN_BLOCKS or inlier_share < _MIN_INLIERS:
        return _NO_FIT
    residual = np.abs(factor * centres + shift - targets)
    outliers = (residual > 2 * _TOLERANCE) & (heights > 1.5 * _MIN_PEAK)
    support = float((inliers * heights).sum())
    outlier_share = float(outliers.sum()) / count
    return _Fit(complex(factor), complex(shift), support, inlier_share, outlier_share)


@cache
def _pairs(count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """At most 300 pairs of different blocks, spread evenly over all of them."""
    one, two = np.triu_indices(count, 1)
    chosen = np.unique(np.linspace(0, len(one) - 1, min(300, len(one))).astype(int))
    return one[chosen], two[chosen]


def _least_squares(
    points: Points, targets: Points, weights: Float64Array
) -> tuple[complex, complex]:
    """Factor and shift of the similarity transform with the least squared error."""
    total = weights.sum()
    centre, target = (points * weights).sum() / total, (targets * weights).sum() / total
    spread = (weights * np.abs(points - centre) ** 2).sum()
    if spread < 1e-6:
        return 1.0, complex(target - centre)
    factor = (weights * np.conj(points - centre) * (targets - target)).sum() / spread
    return complex(factor), complex(target - factor * centre)
