"""How the whole picture moved between two analysis frames: shift, growth and turn.

A quarter of a second lies between two frames, so motion may be large. Two pictures of at most 160
pixels are compared by phase correlation (Kuglin and Hines 1975): once as a whole, which proposes
large shifts, and then in overlapping blocks of 32×32, which gives each textured block a shift of
its own to a fraction of a pixel. A similarity transform that most blocks agree on is found by
sample consensus (Fischler and Bolles 1981) over fixed pairs of blocks, so that it repeats, and then
fitted to those that agree. The rest, what moves by itself, is told apart. Cost about 3 ms a pair.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.scores.borders import bars

Plane = npt.NDArray[np.float32]
Complex = npt.NDArray[np.complex128]

_SIDE = 160
_BLOCK = 32
_STRIDE = 16
_SOFTNESS = 0.16
"""Width of the low pass on the correlation, in cycles a pixel."""
_TEXTURE = 2.5
"""Standard deviation in gray levels from which a block is textured."""
_CLEAR = 0.2
"""Height of a correlation peak, of 1, from which it counts."""
_NEAR = 0.8
"""Pixels by which a block may miss the transform that it follows."""
_LEAST_BLOCKS = 4
_LEAST_AGREE = 0.25
_ENOUGH = 0.7
"""Share of the blocks from which no other start is tried."""
_SURROUNDED = 0.03
"""Share of the picture from which black on all four sides leaves no background to follow."""


@dataclass(frozen=True)
class GlobalMotion:
    """A similarity transform from one frame to the next, in shares of the longest side."""

    right: float
    """How far the content moved to the right."""
    down: float
    """How far it moved down."""
    grow: float
    """Natural logarithm of the factor by which it grew."""
    turn: float
    """Angle by which it turned clockwise, in radians."""
    agree: float
    """Share of the textured blocks that follow, 0–1."""
    apart: float
    """Share of the textured blocks that clearly move otherwise, 0–1."""
    textured: float
    """Share of the blocks that are textured, 0–1."""


def global_motion(before: Plane, after: Plane) -> GlobalMotion | None:
    """The motion from one frame to the next, luma [height, width]; None where none can be told.

    What is seen before black on all four sides may move by itself.
    """
    shares = np.nan_to_num(np.fmin(bars(before), bars(after)))
    if shares.min() > _SURROUNDED:
        return None
    first, second = (_small(_inside(luma, shares)) for luma in (before, after))
    if min(first.shape) < _BLOCK:
        return None
    best = _NOTHING
    for shift in _proposals(first, second):
        best = max(best, _fit(first, second, shift), key=lambda fit: fit.support)
        if best.agree > _ENOUGH:
            break
    if best.support == 0:
        return None
    side = max(first.shape)
    return GlobalMotion(
        best.shift.real / side,
        best.shift.imag / side,
        float(np.log(abs(best.factor))),
        float(np.angle(best.factor)),
        best.agree,
        best.apart,
        float(_textured(_blocks(first)[0]).mean()),
    )


@dataclass(frozen=True)
class _Fit:
    """z → factor · z + shift, with z from the picture's middle, x right and y down."""

    factor: complex
    shift: complex
    support: float
    agree: float
    apart: float


_NOTHING = _Fit(1.0, 0.0, 0.0, 0.0, 0.0)


def _inside(luma: Plane, shares: npt.NDArray[np.float64]) -> Plane:
    """What lies inside the bars that both frames have: their edge stands still whatever moves."""
    height, width = luma.shape
    top, bottom, left, right = (shares * (height, height, width, width)).round().astype(int)
    return luma[top : height - bottom, left : width - right]


def _small(luma: Plane) -> Plane:
    """The mean over squares, so that the longest side has about 160 pixels."""
    step = max(1, round(max(luma.shape) / _SIDE))
    height, width = (size // step for size in luma.shape)
    cut = luma[: height * step, : width * step].reshape(height, step, width, step)
    return np.asarray(cut.mean(axis=(1, 3)), np.float32)


def _proposals(first: Plane, second: Plane) -> Iterator[tuple[int, int]]:
    """Shifts (right, down) to start from: none, and the two that the pictures as a whole suggest.

    Blocks find what remains up to a third of their size, so only far ones are worth a start.
    """
    yield 0, 0
    surface = _correlation(first[None], second[None])[0]
    height, width = surface.shape
    found = [(0, 0)]
    for _ in range(2):
        row, column = divmod(int(surface.argmax()), width)
        down = row if row < height / 2 else row - height
        right = column if column < width / 2 else column - width
        rows, columns = np.arange(row - 4, row + 5), np.arange(column - 4, column + 5)
        surface[np.ix_(rows % height, columns % width)] = -1
        far = min(max(abs(right - x), abs(down - y)) for x, y in found) > 3
        if far and height - abs(down) >= _BLOCK and width - abs(right) >= _BLOCK:
            found.append((right, down))
            yield right, down


def _correlation(first: Plane, second: Plane) -> Plane:
    """Phase correlation of planes [n, h, w]: its peak is where the content of the first went.

    A pure shift has a peak of height 1.
    """
    shape = (first.shape[1], first.shape[2])
    window, low_pass = _window(shape), _low_pass(shape)
    spectra = [
        np.fft.rfft2((plane - plane.mean(axis=(1, 2), keepdims=True)) * window)
        for plane in (first, second)
    ]
    cross = np.conj(spectra[0]) * spectra[1]
    cross *= low_pass / (np.abs(cross) + 1e-3)
    return np.asarray(np.fft.irfft2(cross, s=shape), np.float32)


@cache
def _window(shape: tuple[int, int]) -> Plane:
    rows, columns = (np.hanning(size + 2)[1:-1] for size in shape)
    return np.asarray(np.outer(rows, columns), np.float32)


@cache
def _low_pass(shape: tuple[int, int]) -> Plane:
    down, right = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    passed = np.exp(-(down**2 + right**2) / (2 * _SOFTNESS**2))
    return np.asarray(passed / np.fft.irfft2(passed, s=shape).max(), np.float32)


def _fit(first: Plane, second: Plane, start: tuple[int, int]) -> _Fit:
    """The transform that most blocks follow, if their contents moved by about `start`."""
    right, down = start
    height, width = first.shape
    here = first[max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
    there = second[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)]
    blocks, places = _blocks(here)
    textured = _textured(blocks)
    if textured.sum() < _LEAST_BLOCKS:
        return _NOTHING
    corner = complex(max(0, -right), max(0, -down))
    places = places[textured] + corner - complex(width - 1, height - 1) / 2
    moved, clear = _peaks(_correlation(blocks[textured], _blocks(there)[0][textured]))
    known = clear > _CLEAR
    if known.sum() < _LEAST_BLOCKS:
        return _NOTHING
    count = int(textured.sum())
    return _agreed(places[known], moved[known] + complex(right, down), clear[known], count)


def _blocks(picture: Plane) -> tuple[Plane, Complex]:
    """Blocks [n, 32, 32] that overlap by half, and their middles as x + yi."""
    windows = np.lib.stride_tricks.sliding_window_view(picture, (_BLOCK, _BLOCK))
    taken = windows[::_STRIDE, ::_STRIDE]
    rows, columns = taken.shape[:2]
    middle = (_BLOCK - 1) / 2
    y, x = np.mgrid[0:rows, 0:columns] * _STRIDE + middle
    return taken.reshape(-1, _BLOCK, _BLOCK), (x + 1j * y).ravel()


def _textured(blocks: Plane) -> npt.NDArray[np.bool_]:
    """Which blocks [n, 32, 32] have something to follow."""
    return np.asarray(blocks.std(axis=(1, 2)) > _TEXTURE)


def _peaks(surfaces: Plane) -> tuple[Complex, npt.NDArray[np.float64]]:
    """Where each correlation surface [n, 32, 32] peaks, as x + yi, and how high."""
    every = np.arange(len(surfaces))
    rows, columns = np.divmod(surfaces.reshape(len(surfaces), -1).argmax(axis=1), _BLOCK)

    def at(down: int, right: int) -> npt.NDArray[np.float64]:
        value = surfaces[every, (rows + down) % _BLOCK, (columns + right) % _BLOCK]
        return np.asarray(np.maximum(value, 1e-4), np.float64)

    def finer(low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]) -> Any:
        below, above = np.log(at(0, 0) / low), np.log(at(0, 0) / high)
        return np.clip((below - above) / (2 * np.maximum(below + above, 1e-6)), -0.5, 0.5)

    signed_rows, signed_columns = (
        (p + _BLOCK // 2) % _BLOCK - _BLOCK // 2 for p in (rows, columns)
    )
    x = signed_columns + finer(at(0, -1), at(0, 1))
    y = signed_rows + finer(at(-1, 0), at(1, 0))
    return x + 1j * y, at(0, 0)


def _agreed(places: Complex, moved: Complex, clear: npt.NDArray[np.float64], count: int) -> _Fit:
    """Sample consensus over pairs of blocks, then least squares over those that agree."""
    targets = places + moved
    one, two = _pairs(len(places))
    apart = places[one] - places[two]
    factors = np.where(np.abs(apart) > _BLOCK, (targets[one] - targets[two]) / (apart + 1e-9), 1.0)
    factors = np.where(np.abs(np.abs(factors) - 1) < 0.3, factors, 1.0)
    shifts = targets[one] - factors * places[one]
    missed = np.abs(factors[:, None] * places + shifts[:, None] - targets)
    best = int(((missed < _NEAR) * clear).sum(axis=1).argmax())
    factor, shift, follows = factors[best], shifts[best], missed[best] < _NEAR
    for _ in range(3):
        if follows.sum() < 2:
            break
        factor, shift = _least_squares(places[follows], targets[follows], clear[follows])
        follows = np.abs(factor * places + shift - targets) < _NEAR
    agree = float(follows.sum()) / count
    if follows.sum() < _LEAST_BLOCKS or agree < _LEAST_AGREE:
        return _NOTHING
    away = (np.abs(factor * places + shift - targets) > 2 * _NEAR) & (clear > 1.5 * _CLEAR)
    support = float((follows * clear).sum())
    return _Fit(complex(factor), complex(shift), support, agree, float(away.sum()) / count)


@cache
def _pairs(count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """At most 300 pairs of different blocks, spread evenly over all of them."""
    one, two = np.triu_indices(count, 1)
    taken = np.unique(np.linspace(0, len(one) - 1, min(300, len(one))).astype(int))
    return one[taken], two[taken]


def _least_squares(
    places: Complex, targets: Complex, weights: npt.NDArray[np.float64]
) -> tuple[complex, complex]:
    """The similarity transform that takes places to targets with the least squared error."""
    total = weights.sum()
    middle, goal = (places * weights).sum() / total, (targets * weights).sum() / total
    spread = (weights * np.abs(places - middle) ** 2).sum()
    if spread < 1e-6:
        return 1.0, complex(goal - middle)
    factor = (weights * np.conj(places - middle) * (targets - goal)).sum() / spread
    return complex(factor), complex(goal - factor * middle)
