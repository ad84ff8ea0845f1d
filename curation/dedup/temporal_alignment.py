"""Where in time two clips agree best: every shift, and speeds from 0.95 to 1.05.

First on a grid: the products of all frames of one clip with all of the other, summed along the
diagonals that shifts and speeds make of them. Then within a quarter of a frame around the best.
Many pairs of clips with equal numbers of frames are aligned together. Each pair's products are
computed on their own, so that the result is independent of batch composition.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from curation.dedup.similarity import NOISE, STILL, Bools, Energies, Floats

Ints = npt.NDArray[np.int64]

_SPEEDS = (1.0, 0.975, 1.025, 0.95, 1.05)
_MIN_OVERLAP = 0.6
"""Share of the shorter clip that has to lie on the other."""
_DIGITS = 9
"""Digits of agreement that count, so that of equal alignments the first is taken."""


@dataclass(frozen=True)
class Alignment:
    """Frames `first` to `last` (exclusive) of one clip, and where they lie in the other.

    All of the same shape: one alignment or several of each pair.
    """

    first: Ints
    last: Ints
    centre: Floats
    """Frame of the other clip that the middle of these frames lies on."""
    speed: Floats
    """Frames of the other clip for one of this."""

    def take(self, *index: Ints) -> Alignment:
        """The alignments at an index."""
        return Alignment(self.first[index], self.last[index], self.centre[index], self.speed[index])

    def put(self, index: Ints, alignment: Alignment) -> None:
        """Replaces the alignments at an index."""
        for name, values in vars(alignment).items():
            getattr(self, name)[index] = values

    @property
    def overlap(self) -> Ints:
        """How many frames lie on each other."""
        return self.last - self.first

    def mask(self, frames: int) -> Bools:
        """Which of a clip's frames lie on the other, shape [..., frames]."""
        index = np.arange(frames)
        return np.asarray((index >= self.first[..., None]) & (index < self.last[..., None]))

    def weights(self, frames: int, other_frames: int) -> Floats:
        """How much of each frame of the other clip lies on each of this.

        Shape [..., frames, other_frames]. A frame lies between two of the other clip, or on its
        first or last one.
        """
        middle = (self.first + self.last - 1) / 2
        positions = self.centre[..., None] + self.speed[..., None] * (
            np.arange(frames) - middle[..., None]
        )
        weights = _interpolation(np.clip(positions, 0, other_frames - 1), other_frames)
        weights *= self.mask(frames)[..., None]
        return weights


def _interpolation(positions: Floats, frames: int) -> Floats:
    """Linear weights of the frames around each position, shape [..., frames]."""
    return np.asarray(np.maximum(0.0, 1 - np.abs(positions[..., None] - np.arange(frames))))


@dataclass(frozen=True)
class ClipPairs:
    """Pairs of clips of n and of m frames."""

    one: Floats
    """Shape [p, n, 77]."""
    other: Floats
    """Shape [p, m, 77]."""

    def __len__(self) -> int:
        return len(self.one)

    def take(self, pairs: Ints) -> ClipPairs:
        """Some of the pairs."""
        return ClipPairs(self.one[pairs], self.other[pairs])

    @cached_property
    def products(self) -> Floats:
        """Of each frame with each of the other clip, shape [p, n, m]."""
        return np.asarray(self.one @ self.other.transpose(0, 2, 1))

    @cached_property
    def deviations(self) -> ClipPairs:
        """Each frame minus its clip's mean."""
        return ClipPairs(*(f - f.mean(axis=1, keepdims=True) for f in (self.one, self.other)))

    def aligned(self, alignment: Alignment) -> tuple[Floats, Floats]:
        """Frames [p, n, 77] of the first clip, and of the other where it lies on them."""
        weights = alignment.weights(self.one.shape[1], self.other.shape[1])
        return self.one, weights @ self.other

    def best_on_grid(self) -> tuple[Alignment, Floats]:
        """Where each pair agrees best on the grid, and how well, at most 1."""
        grid = _grid(self.one.shape[1], self.other.shape[1])
        counts = grid.last - grid.first
        sums, moving = self._sums(grid), self.deviations._sums(grid)
        one, other = (energy + NOISE * counts + 1e-9 for energy in (sums.one, sums.other))
        norm = np.sqrt(one * other)
        look = sums.both / norm
        share = (moving.one / one + moving.other / other) / 2
        motion = (moving.both / norm + STILL) / (share + STILL)
        agreement = np.where(grid.is_enough, (look + motion) / 2, -np.inf).reshape(len(self), -1)
        best = agreement.round(_DIGITS).argmax(axis=1)
        return grid.alignments().take(best), agreement[np.arange(len(self)), best]

    def _sums(self, grid: _Grid) -> Energies:
        """Energies [p, variants, shifts], summed over the frames that the grid aligns."""
        resampling = grid.resampling
        one = np.pad(np.square(self.one).sum(axis=2).cumsum(axis=1), ((0, 0), (1, 0)))
        squares, adjacent = _energies(self.other)
        resampled = (
            squares[:, None] @ resampling.squares.T + adjacent[:, None] @ resampling.adjacent.T
        )
        other = resampled.reshape(len(self), *resampling.shape).cumsum(axis=2)
        other = np.pad(other, ((0, 0), (0, 0), (1, 0)))
        variant = np.arange(len(grid.last))[:, None]
        products = self.products @ resampling.weights.T
        return Energies(
            one[:, grid.last] - one[:, grid.first],
            other[:, variant, grid.last - grid.shifts]
            - other[:, variant, grid.first - grid.shifts],
            _diagonal_sums(products, resampling.shape),
        )

    def agreement(self, alignment: Alignment) -> Floats:
        """Mean of look and motion at some alignments [p, k], at most 1."""
        n, m = self.one.shape[1], self.other.shape[1]
        weights = alignment.weights(n, m)
        count = alignment.overlap.astype(np.float64)
        mask = alignment.mask(n).astype(np.float64)
        squares, adjacent = _energies(self.other)
        one = (mask @ np.square(self.one).sum(axis=2)[..., None])[..., 0] / count
        other = (np.square(weights).sum(axis=2) @ squares[..., None])[..., 0] / count
        between = (weights[..., :-1] * weights[..., 1:]).sum(axis=2)
        other = other + (between @ adjacent[..., None])[..., 0] / count
        both = (weights * self.products[:, None]).sum(axis=(2, 3)) / count
        mean = mask @ self.one / count[..., None]
        other_mean = weights.sum(axis=2) @ self.other / count[..., None]
        total = Energies(one, other, both)
        return (total.look + total.minus_means(mean, other_mean).motion(total)) / 2

    def refine(self, alignment: Alignment) -> Alignment:
        """The best alignments [p] within a quarter of a frame and a little faster or slower."""
        shift, speedup = (axis.ravel() for axis in np.mgrid[-1:2, -1:2].astype(np.float64))
        order = np.argsort(np.abs(shift) + np.abs(speedup), kind="stable")
        for step in (0.25, 0.125):
            candidates = Alignment(
                np.repeat(alignment.first[:, None], 9, axis=1),
                np.repeat(alignment.last[:, None], 9, axis=1),
                alignment.centre[:, None] + step * shift[order],
                alignment.speed[:, None] + step / 20 * speedup[order],
            )
            best = self.agreement(candidates).round(_DIGITS).argmax(axis=1)
            alignment = candidates.take(np.arange(len(self)), best)
        return alignment


def _energies(frames: Floats) -> tuple[Floats, Floats]:
    """Squared lengths of frames [p, m, 77], and twice the products with the next one [p, m − 1]."""
    return np.square(frames).sum(axis=2), 2 * (frames[:, :-1] * frames[:, 1:]).sum(axis=2)


@dataclass(frozen=True)
class _Resampling:
    """A clip's frames at every speed, from the first one and from half a frame later.

    Each variant has as many positions as a clip played at the slowest speed.
    """

    shape: tuple[int, int]
    """Variants and positions."""
    counts: Ints
    """How many positions of each variant lie in the clip, shape [variants, 1]."""
    offsets: Floats
    """Where each variant begins, in frames, shape [variants, 1]."""
    speeds: Floats
    """Frames of the clip from one position to the next, shape [variants, 1]."""
    weights: Floats
    """Of each frame in each position, 0 after the end: [variants · positions, frames]."""

    @cached_property
    def squares(self) -> Floats:
        """The weights squared."""
        return np.square(self.weights)

    @cached_property
    def adjacent(self) -> Floats:
        """The weight of each frame times that of the next."""
        return self.weights[:, :-1] * self.weights[:, 1:]


@lru_cache(maxsize=16)
def _resampling(frames: int) -> _Resampling:
    variants = [(s, b) for s in _SPEEDS for b in (0.0, 0.5)] if frames > 1 else [(1.0, 0.0)]
    speeds, offsets = (np.array(column)[:, None] for column in zip(*variants, strict=True))
    longest = int((frames - 1) / speeds.min() + 1e-6) + 1
    positions = offsets + speeds * np.arange(longest)
    is_inside = positions <= frames - 1 + 1e-6
    counts = is_inside.sum(axis=1, keepdims=True)
    weights = _interpolation(np.minimum(positions, frames - 1), frames) * is_inside[..., None]
    shape = (len(variants), longest)
    return _Resampling(shape, counts, offsets, speeds, weights.reshape(-1, frames))


@dataclass(frozen=True)
class _Grid:
    """Every shift of one clip over every resampled variant of the other."""

    resampling: _Resampling
    shifts: Ints
    """Frames of this clip before the other begins, negative for those of the other: [shifts]."""
    first: Ints
    """First frame that lies on the other, shape [1, shifts]."""
    last: Ints
    """Frame after the last one, shape [variants, shifts]."""
    is_enough: Bools
    """Whether so much overlaps that it counts, shape [variants, shifts]."""

    def alignments(self) -> Alignment:
        """All of them, shape [variants · shifts]."""
        middle = (self.first + self.last - 1) / 2 - self.shifts
        zeros = np.zeros_like(self.last)
        return Alignment(
            (zeros + self.first).ravel(),
            self.last.ravel(),
            (self.resampling.offsets + self.resampling.speeds * middle).ravel(),
            (zeros + self.resampling.speeds).ravel(),
        )


@lru_cache(maxsize=64)
def _grid(frames: int, other_frames: int) -> _Grid:
    resampling = _resampling(other_frames)
    shifts = np.arange(1 - resampling.shape[1], frames)
    first = np.maximum(shifts, 0)[None]
    last = np.maximum(np.minimum(frames, shifts + resampling.counts), first)
    required = np.maximum(1, _MIN_OVERLAP * np.minimum(frames, resampling.counts))
    return _Grid(resampling, shifts, first, last, last - first >= required)


def _diagonal_sums(products: Floats, shape: tuple[int, int]) -> Floats:
    """Sums along the diagonals of [p, n, variants · m], by shift from 1 − m to n − 1."""
    (count, n, _), (variants, m) = products.shape, shape
    skewed = np.zeros((count, variants, n, m + n))
    skewed[..., :m] = products.reshape(count, n, variants, m).transpose(0, 2, 1, 3)[..., ::-1]
    flat = skewed.reshape(count, variants, -1)[..., : n * (m + n - 1)]
    return np.asarray(flat.reshape(count, variants, n, m + n - 1).sum(axis=2))
